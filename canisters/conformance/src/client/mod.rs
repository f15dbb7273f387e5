//! A client that can do everything the HTTPS interface allows, and everything that it does not.

pub mod answer;
pub mod certificate;
pub mod key;
pub mod management;
pub mod network;
pub mod request;
pub mod user;

pub use answer::Heard;
pub use key::Key;
pub use network::Network;
pub use user::User;
