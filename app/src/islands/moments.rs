//! Times in the time zone of the reader.

use super::dom;
use js_sys::Date;
use web_sys::Element;

/// As in `text::time`, with the zone.
const MINUTE: &str = r#"{"day":"numeric","month":"long","year":"numeric","hour":"2-digit","minute":"2-digit","timeZoneName":"short"}"#;
const DATE: &str = r#"{"day":"numeric","month":"long","year":"numeric"}"#;

/// Converts all `<time>` elements inside `root`: the tooltip, and the text if it is a date or a time.
pub(super) fn localise(root: &Element) {
    let (minute, date) = (dom::object(MINUTE), dom::object(DATE));
    for time in dom::find_all(root, "time") {
        let at = Date::new(&dom::attribute(&time, "datetime").into());
        let with_zone = String::from(at.to_locale_string("en-GB", &minute));
        match dom::attribute(&time, "data-shows").as_str() {
            "date" => time.set_text_content(Some(&String::from(at.to_locale_date_string("en-GB", &date)))),
            "minute" => time.set_text_content(Some(&with_zone)),
            _ => {}
        }
        dom::set(&time, "title", &with_zone);
    }
}
