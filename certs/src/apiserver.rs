//! What every request to the API server has in common.

/// Name under which the API server records our writes.
pub(crate) const FIELD_MANAGER: &str = "nfs-guard";

/// The API server's status code, if it answered with one.
pub(crate) fn status_code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}
