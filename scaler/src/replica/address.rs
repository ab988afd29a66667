//! The names of a replica's addresses.

use super::Replica;

impl Replica {
    /// Adds the names that its addresses were looked up by, as `host:port`.
    #[must_use]
    pub fn named(mut self, authority: String, grpc: Option<String>) -> Self {
        self.names = Some(Box::new((authority, grpc)));
        self
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
