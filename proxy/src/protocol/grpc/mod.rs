//! gRPC, as far as a proxy has to know it: deadlines, and the paths of
//! the Open Inference Protocol. Pure.

mod method;
mod server_query;
mod timeout;

pub use self::{
    method::{Method, SERVICE},
    server_query::{ServerQuery, reply},
    timeout::timeout,
};
