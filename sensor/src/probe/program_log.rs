//! What the kernel programs log through aya-log, for debugging them: with the feature
//! `debug-log`, their text appears in the sensor's own log. Without it they log nothing, and
//! this waits for ever.

use aya::Ebpf;

/// Passes on what the programs log, until dropped.
#[cfg(feature = "debug-log")]
pub async fn pass_on(ebpf: &mut Ebpf) {
    let logger = match aya_log::EbpfLogger::init(ebpf) {
        Ok(logger) => logger,
        Err(error) => {
            tracing::warn!(%error, "the programs' log cannot be read");
            return std::future::pending().await;
        }
    };
    let Ok(mut logger) = tokio::io::unix::AsyncFd::register(logger) else {
        return std::future::pending().await;
    };
    while let Ok(mut guard) = logger.readable_mut().await {
        guard.get_inner_mut().flush();
        guard.clear_ready();
    }
}

/// Nothing to pass on in this build.
#[cfg(not(feature = "debug-log"))]
pub async fn pass_on(_ebpf: &mut Ebpf) {
    std::future::pending().await
}
