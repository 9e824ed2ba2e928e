//! Where does it go what is wrong with a variable, and what hooks of the application panic with? To
//! where the runtime's own warnings go.

pub(crate) use telemetry_rt::__private::warn;
