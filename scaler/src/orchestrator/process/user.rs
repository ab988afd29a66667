//! The user that a replica runs as.

use std::{ffi::CString, os::unix::process::CommandExt, process::Command};

use nix::unistd::{self, Gid, Uid};
use serde::{Deserialize, Serialize};

/// A user of this host, with its groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct User {
    name: String,
    home: String,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl User {
    /// Finds a user by name or number.
    ///
    /// # Errors A sentence: there is no such user, or this process may not switch to it.
    pub(super) fn find(name: &str) -> Result<Self, String> {
        let found = match name.parse() {
            Ok(number) => unistd::User::from_uid(Uid::from_raw(number)),
            Err(_) => unistd::User::from_name(name),
        };
        let found = found
            .map_err(|error| format!("cannot look up the user {name}: {error}"))?
            .ok_or_else(|| {
                format!("there is no user {name} on this host; create it, or change user in the manifest")
            })?;
        if !Uid::effective().is_root() && found.uid != Uid::effective() {
            return Err(format!(
                "cannot run as the user {name}: only root may switch users; start Tailback as root, or remove user from the manifest"
            ));
        }
        let groups = CString::new(found.name.clone())
            .ok()
            .and_then(|name| unistd::getgrouplist(&name, found.gid).ok())
            .unwrap_or_else(|| vec![found.gid]);
        Ok(Self {
            name: found.name,
            home: found.dir.to_string_lossy().into_owned(),
            uid: found.uid.as_raw(),
            gid: found.gid.as_raw(),
            groups: groups.into_iter().map(Gid::as_raw).collect(),
        })
    }

    /// The variables of a session of this user: HOME, USER and LOGNAME.
    pub(super) fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("HOME", self.home.clone()),
            ("USER", self.name.clone()),
            ("LOGNAME", self.name.clone()),
        ]
    }

    /// Switches this process to the user, for good. Only makes system calls.
    pub(super) fn become_it(&self, groups: &[Gid]) -> nix::Result<()> {
        if Uid::effective().is_root() {
            unistd::setgroups(groups)?;
        }
        unistd::setgid(Gid::from_raw(self.gid))?;
        unistd::setuid(Uid::from_raw(self.uid))
    }

    /// Lets `command` run as the user, with its main group alone.
    pub(super) fn apply_to(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// The user's groups, for [`become_it`](Self::become_it).
    pub(super) fn groups(&self) -> Vec<Gid> {
        self.groups.iter().copied().map(Gid::from_raw).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number_or_the_error_says_what_is_missing() {
        let own = Uid::effective();
        let found = User::find(&own.as_raw().to_string()).unwrap();
        assert_eq!(found.uid, own.as_raw());
        assert_eq!(User::find(&found.name).unwrap(), found);
        let missing = User::find("no-such-user").unwrap_err();
        assert!(missing.contains("no-such-user"), "{missing}");
    }
}
