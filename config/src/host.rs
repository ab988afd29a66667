//! The machine that Tailback and its process servers run on: the room that models share.

use crate::ObjectLocation;

/// One machine's room for models of process servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// The document that describes it.
    pub place: ObjectLocation,
    /// Bytes that models without a device may take together; `None`: not counted.
    pub memory: Option<u64>,
    /// Its devices, such as GPUs. No two have the same name.
    pub devices: Vec<Device>,
}

/// A device, such as a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name, as the command knows it: `0`, or a UUID.
    pub name: String,
    /// Bytes that it has for models.
    pub memory: u64,
}

/// The room that a replica of a model takes on its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRoom {
    /// Bytes, on each of the devices or, without, of the host.
    pub memory: u64,
    /// How many devices it takes at once; 0: the host's memory.
    pub devices: u32,
}
