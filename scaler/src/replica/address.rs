//! The names of a replica's addresses.

use super::Replica;

/// An address to connect to, and its name in requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// `host:port` to connect to.
    pub authority: &'a str,
    /// `host:port` as requests name it; differs from `authority` if that was looked up by name.
    pub name: &'a str,
}

impl<'a> Address<'a> {
    /// An address that is its own name.
    #[must_use]
    pub fn new(authority: &'a str) -> Self {
        Self {
            authority,
            name: authority,
        }
    }
}

impl Replica {
    /// Adds the names that the addresses were looked up by, as `host:port`.
    #[must_use]
    pub fn named(mut self, authority: String, grpc: Option<String>) -> Self {
        self.names = Some(Box::new((authority, grpc)));
        self
    }

    /// The address for requests.
    #[must_use]
    pub fn address(&self) -> Address<'_> {
        Address {
            authority: &self.authority,
            name: self.host_names().0,
        }
    }

    /// The address for gRPC, if it differs.
    #[must_use]
    pub fn grpc_address(&self) -> Option<Address<'_>> {
        let authority = self.grpc_authority()?;
        let name = self.host_names().1.unwrap_or(authority);
        Some(Address { authority, name })
    }

    /// The names in requests and certificates, as `host:port`: for HTTP, and for gRPC if it has an
    /// address of its own.
    #[must_use]
    pub fn host_names(&self) -> (&str, Option<&str>) {
        match self.names.as_deref() {
            Some((authority, grpc)) => (authority, grpc.as_deref()),
            None => (&self.authority, self.grpc_authority()),
        }
    }
}
