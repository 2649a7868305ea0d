//! Groups of several nodes in one process, on stores in memory and on the disk, with wires that can be cut.

mod cluster;
mod damage;
mod groups;
mod members;
mod suite;
