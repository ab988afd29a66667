//! gRPC, as far as a proxy has to know it: statuses, deadlines, and the paths of
//! the Open Inference Protocol. Pure.

mod code;
mod method;
mod own;
mod timeout;

pub use self::{
    code::{Code, write_status},
    method::{Method, SERVICE},
    own::{Own, reply},
    timeout::timeout,
};
