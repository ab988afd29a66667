//! The models that are served: as configured ([`Model`]), all of them at one time
//! ([`RouteTable`]), and as each worker thread sees them ([`worker`]).

mod model;
mod route_table;
pub mod worker;

pub use self::{
    model::Model,
    route_table::{RouteTable, SharedRoutes},
    worker::{Known, ModelRef, WorkerRoutes},
};
