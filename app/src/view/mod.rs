//! The data that pages receive: plain types, without domain rules.

pub mod refusal;
pub mod submission;
