//! Traffic against a small API server with a gateway that lags.

mod adopted;
mod contest;
mod defaults;
mod gateway;
mod laws;
mod owned;
mod plain;
mod promotion;
mod proof;
mod services;
mod testing;
mod world;
