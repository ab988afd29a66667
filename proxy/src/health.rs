//! `tailback health`: asks the proxy on this host whether it is alive.

use tailback_config::Env;

use crate::admin_client::AdminClient;

/// Checks that `/healthz` answers 200.
///
/// # Errors
/// A sentence that says what the answer was instead, or why there was none.
pub fn check(env: &Env) -> Result<(), String> {
    AdminClient::new(env)?.page("/healthz").map(drop)
}
