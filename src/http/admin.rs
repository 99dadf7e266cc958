//! The admin listener: liveness, readiness and metrics, for those who run the broker.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::app::App;
use crate::db::{self, Schema};
use crate::retry;

/// How long a probe waits for the database.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Clone)]
struct Admin {
    app: Arc<App>,
    metrics: PrometheusHandle,
}

/// The admin listener.
pub fn router(app: &Arc<App>, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state(Admin { app: Arc::clone(app), metrics })
}

/// `GET /readyz`: 200, or 503 with one line for each reason.
async fn readyz(State(admin): State<Admin>) -> Response {
    let reasons = reasons(&admin.app).await;
    if reasons.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response()
}

/// Why the broker should get no requests now.
async fn reasons(app: &App) -> Vec<String> {
    let mut reasons = Vec::new();
    if app.is_draining() {
        reasons.push("draining".to_owned());
    }
    if let Err(error) = app.check_unsealed() {
        reasons.push(error.to_string());
    }
    let schema = async { retry!(app.db, |conn| { db::schema(conn).await }) };
    match tokio::time::timeout(PATIENCE, schema).await {
        Ok(Ok(Schema::Current | Schema::Newer)) => {}
        Ok(Ok(Schema::Behind { missing })) => reasons.push(format!("schema: {missing} migrations are missing")),
        Ok(Ok(Schema::TooNew { min_version })) => {
            reasons.push(format!("schema: needs symbolon {min_version} or newer"));
        }
        Ok(Err(error)) => reasons.push(error.to_string()),
        Err(_) => reasons.push(format!("database: no answer within {} s", PATIENCE.as_secs())),
    }
    if let Err(error) = app.ring.status() {
        reasons.push(error.to_string());
    }
    reasons
}

/// `GET /metrics`, in the Prometheus text format.
async fn render(State(Admin { app, metrics }): State<Admin>) -> Response {
    let (used, idle) = app.db.connections();
    metrics::gauge!("symbolon_db_pool_connections", "state" => "used").set(f64::from(used));
    metrics::gauge!("symbolon_db_pool_connections", "state" => "idle").set(f64::from(idle));
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (content_type, metrics.render()).into_response()
}
