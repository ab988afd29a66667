//! The data plane without kernel, scaler and real time, for tests and fuzzing: its connections are
//! those of a [simulated network](crate::net::simulated), and its time is that of the paused
//! runtime.

pub mod clock;
mod data_plane;

pub use self::data_plane::DataPlane;
pub use crate::net::simulated as network;
