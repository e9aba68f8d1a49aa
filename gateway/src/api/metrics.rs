//! The catalogue: what every number means.

use crate::api::List;
use crate::app::App;
use crate::http::ask::Nothing;
use crate::http::principal::Principal;
use crate::http::problem::Problem;
use axum::Json;
use serde::Serialize;
use std::sync::Arc;
use watchkeeper_schemas::catalogue::{CATALOGUE, Kind, Unit};

/// A metric: what its number means.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MetricView {
    /// `<group>.<field>`, the field ending with the unit.
    #[schema(example = "disk.used_pct")]
    name: &'static str,
    /// What the number counts in.
    unit: Unit,
    /// The labels that tell series of one host apart; none for a scalar.
    labels: Vec<&'static str>,
    /// How it behaves over time.
    kind: Kind,
    /// What it means, for people.
    description: &'static str,
    /// Smallest value that can be true.
    min: f64,
    /// Largest value that can be true.
    max: f64,
}

/// Every metric of the catalogue. Gauges that a host's owner added are `custom.<name>` and stand in the host's view.
#[utoipa::path(
    get, path = "/api/v1/metrics", tag = "history", operation_id = "list_metrics",
    responses((status = 200, description = "The catalogue", body = List<MetricView>))
)]
pub async fn list(_: Principal, _: Arc<App>, _: Nothing) -> Result<Json<List<MetricView>>, Problem> {
    let items = CATALOGUE.iter().map(|metric| MetricView {
        name: metric.name,
        unit: metric.unit,
        labels: metric.section().label().into_iter().collect(),
        kind: metric.kind,
        description: metric.description,
        min: metric.min,
        max: metric.max,
    });
    Ok(Json(List { items: items.collect(), next_page: None }))
}
