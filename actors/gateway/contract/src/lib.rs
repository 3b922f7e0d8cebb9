//! The contract of the gateway: its name. It serves HTTP and is asked nothing by other capabilities.

use essaim_contract::Capability;

/// The HTTP edge of the cluster.
pub struct Gateway;

impl Capability for Gateway {
    const NAME: &'static str = "gateway";
}
