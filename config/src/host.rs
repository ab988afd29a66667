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
    /// Its name as the command expects it: `0`, or a UUID.
    pub name: String,
    /// Bytes of its memory that models may use.
    pub memory: u64,
}

/// The memory and devices that one replica of a model takes on its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRoom {
    /// Bytes on each of its devices; of the host's memory if it takes no device.
    pub memory: u64,
    /// How many devices one replica takes; 0: it takes the host's memory instead.
    pub devices: u32,
}
