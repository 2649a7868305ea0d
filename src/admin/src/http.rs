//! The HTTP endpoint.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Health;

/// What the handlers share.
#[derive(Clone)]
struct Shared {
    health: Health,
    registry: Arc<Registry>,
}

/// Serves until `shutdown`.
///
/// # Errors
/// The listener fails as a whole.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    registry: Arc<Registry>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Shared { health, registry });
    axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

async fn ready(State(shared): State<Shared>) -> (StatusCode, String) {
    let (ready, text) = shared.health.report();
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &shared.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        // Formatting into a string fails only if a metric's own encoder does.
        Err(error) => {
            tracing::error!(%error, "the metrics can't be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn get(path: &str, ready: bool) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut registry = Registry::default();
        registry.register("stanzas", "Stanzas routed", Counter::<u64>::default());
        let health = Health::default();
        health.add("listeners", move || ready);
        let stop = CancellationToken::new();
        let asked = async {
            let mut stream = TcpStream::connect(address).await.expect("connected");
            let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("answered");
            stop.cancel();
            answer
        };
        let (served, answer) = tokio::join!(serve(listener, health, Arc::new(registry), stop.clone()), asked);
        served.expect("served");
        answer
    }

    #[tokio::test]
    async fn readiness_is_a_status_and_a_reason() {
        assert!(get("/readyz", true).await.starts_with("HTTP/1.1 200"));
        let answer = get("/readyz", false).await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("[not yet] listeners"), "{answer}");
    }

    #[tokio::test]
    async fn a_process_that_answers_is_alive_whatever_it_waits_for() {
        assert!(get("/healthz", false).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn metrics_come_in_the_open_metrics_format() {
        let answer = get("/metrics", true).await;
        assert!(answer.contains("# TYPE stanzas counter") && answer.ends_with("# EOF\n"), "{answer}");
    }
}
