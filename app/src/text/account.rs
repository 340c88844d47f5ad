//! Texts of sign-in and sign-up.

pub const SIGN_IN: &str = "Sign in";
pub const SIGN_UP: &str = "Sign up";
pub const SIGN_OUT: &str = "Sign out";
pub const SIGN_IN_LEAD: &str = "Manage your API keys";
pub const SIGN_UP_LEAD: &str = "Create your first API key in a minute";
pub const EMAIL: &str = "E-mail";
pub const PASSWORD: &str = "Password";
pub const PASSWORD_HINT: &str = "At least 8 characters. A few unrelated words are hard to guess.";
pub const NO_ACCOUNT_YET: &str = "No account yet?";
pub const HAVE_ACCOUNT: &str = "Already have an account?";
pub const CREATE_ACCOUNT: &str = "Create account";
pub const CLOSED_LEAD: &str = "This console does not accept new accounts.";
pub const CLOSED: &str = "Ask its operator, who can add an account with “mecha-console account add”, or open sign-ups \
     with “--sign-ups open”.";
pub const NOT_ENCRYPTED: &str = "This address is not encrypted (plain HTTP): others on the network can read your \
     password and your keys. Use it only on a network you trust, or put the console behind HTTPS.";
