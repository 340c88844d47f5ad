//! Server functions: POST requests under `/rpc`. The forms of the pages are posted to them.
//!
//! Each function requires a session if it needs one, parses its arguments, calls the backend, and returns the new state.

pub mod account;
pub mod keys;
pub mod mechas;

#[cfg(test)]
mod tests {
    use super::account::{
        ChangePassword, DeleteAccount, EndSession, SignIn, SignOut, SignOutEverywhere, SignUp,
    };
    use super::keys::{
        CreateKey, DeleteKey, EditKey, RefreshKey, RenameKey, RetireKey, RotateKey, SetKeyActive,
    };
    use super::mechas::{
        CommandRuntime, CreateMecha, DeleteMecha, DescribeMecha, DisconnectRuntime, SetMechaActive,
    };
    use crate::routes::Action;
    use leptos::server_fn::ServerFn;

    #[test]
    fn the_path_of_every_action_is_that_of_its_server_function() {
        let paths = [
            CreateKey::PATH,
            RenameKey::PATH,
            EditKey::PATH,
            RefreshKey::PATH,
            SetKeyActive::PATH,
            RotateKey::PATH,
            RetireKey::PATH,
            DeleteKey::PATH,
            CreateMecha::PATH,
            DescribeMecha::PATH,
            SetMechaActive::PATH,
            DeleteMecha::PATH,
            CommandRuntime::PATH,
            DisconnectRuntime::PATH,
            SignUp::PATH,
            SignIn::PATH,
            SignOut::PATH,
            ChangePassword::PATH,
            EndSession::PATH,
            SignOutEverywhere::PATH,
            DeleteAccount::PATH,
        ];
        assert_eq!(Action::ALL.map(Action::path), paths);
    }
}
