//! The served models: one as configured ([`Model`]), all at one time ([`RouteTable`]), and the view
//! of each worker thread ([`worker`]).

mod known_card;
mod model;
mod route_table;
mod stored_responses;
pub mod worker;

pub use self::{
    model::Model,
    route_table::{RouteTable, SharedRoutes},
    stored_responses::{ResponseLocation, StoredResponses},
    worker::{Known, ModelRef, WorkerRoutes},
};
