//! The names of a replica's addresses.

use super::Replica;

/// Where to connect to, and what that is called there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// `host:port` to connect to.
    pub authority: &'a str,
    /// `host:port` as requests name it: another one where the address was looked up by a name.
    pub name: &'a str,
}

impl<'a> Address<'a> {
    /// An address that has no other name.
    #[must_use]
    pub fn new(authority: &'a str) -> Self {
        Self {
            authority,
            name: authority,
        }
    }
}

impl Replica {
    /// Adds the names that its addresses were looked up by, as `host:port`.
    #[must_use]
    pub fn named(mut self, authority: String, grpc: Option<String>) -> Self {
        self.names = Some(Box::new((authority, grpc)));
        self
    }

    /// Where it takes requests.
    #[must_use]
    pub fn address(&self) -> Address<'_> {
        Address {
            authority: &self.authority,
            name: self.host_names().0,
        }
    }

    /// Where it takes gRPC, if that is another address.
    #[must_use]
    pub fn grpc_address(&self) -> Option<Address<'_>> {
        let authority = self.grpc_authority()?;
        let name = self.host_names().1.unwrap_or(authority);
        Some(Address { authority, name })
    }

    /// `host:port` as requests and certificates name it, and the same for gRPC, if it has one of its own.
    #[must_use]
    pub fn host_names(&self) -> (&str, Option<&str>) {
        match self.names.as_deref() {
            Some((authority, grpc)) => (authority, grpc.as_deref()),
            None => (&self.authority, self.grpc_authority()),
        }
    }
}
