//! gRPC, as far as a proxy has to know it: deadlines, and what it answers itself. Pure.

mod server_query;
mod timeout;

pub use self::{
    server_query::{ModelIndex, live, ready, repository_index, server_metadata},
    timeout::timeout,
};
