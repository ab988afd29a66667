//! A simulated connection as pingora hands over those that it accepts.

use std::sync::Arc;

use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType, raw_connect::ProxyDigest,
};

use super::Stream;

#[async_trait::async_trait]
impl Shutdown for Stream {
    async fn shutdown(&mut self) {
        self.end();
    }
}

#[async_trait::async_trait]
impl Peek for Stream {}
impl Ssl for Stream {}

impl UniqueID for Stream {
    fn id(&self) -> UniqueIDType {
        0
    }
}

impl GetTimingDigest for Stream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for Stream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for Stream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        None
    }
}
