//! The OpenAPI document of the table: what each route says of itself, and what the table knows of all of its kind.

use crate::api::table::{Access, table};
use crate::http::principal::TEAM;
use crate::http::problem::Problem;
use crate::system::LagView;
use utoipa::openapi::path::{HttpMethod, Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ContentBuilder, Ref, Required, ResponseBuilder};
use utoipa::{Modify, OpenApi, PartialSchema as _};
use watchkeeper_schemas::ids::TeamId;

/// The cookie as browsers send it without TLS; under TLS it is called `__Host-wk_access`.
const COOKIE: &str = "wk_access";
const PROBLEM: &str = "application/problem+json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Watchkeeper",
        description = "What the watch has seen. Lists are {items, next_page}; times are RFC 3339 in UTC; a number's \
                       unit is the end of its name; unknown query parameters and unknown fields of a body are refused; \
                       errors are problem+json. What changes has a revision; a change names the one that it was made \
                       from, and is refused with 409 where that is not the newest.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        contact()
    ),
    tags(
        (name = "hosts", description = "The fleet as it is now"),
        (name = "history", description = "The fleet as it was"),
        (name = "alerts", description = "What is watched, what is wrong, who hears"),
        (name = "team", description = "The team: members, invitations, readers, audit"),
        (name = "agents", description = "How agents come and stay"),
        (name = "me", description = "One's own account"),
        (name = "auth", description = "Coming and going"),
        (name = "system", description = "The watch itself"),
    ),
    components(schemas(LagView, Problem)),
    modifiers(&Credentials),
)]
struct Description;

/// How somebody shows who they are.
struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A personal token or an access token"));
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description(COOKIE, "A browser's session"));
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(cookie));
    }
}

/// The OpenAPI document of the table.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut document = Description::openapi();
    for route in table() {
        let components = document.components.get_or_insert_default();
        components.schemas.extend(route.schemas);
        document.paths.add_path_operation(route.path, route.methods, route.operation);
    }
    document
}

/// Adds to a route's description what every route of its kind has.
pub(crate) fn complete(
    mut operation: Operation,
    methods: &[HttpMethod],
    access: Access,
    body: bool,
) -> Operation {
    let is_safe = methods.iter().all(|method| matches!(method, HttpMethod::Get | HttpMethod::Head));
    let mut refused = |status: &str, why: &str| {
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new().description(why).content(PROBLEM, problem).build();
        operation.responses.responses.entry(status.to_owned()).or_insert(response.into());
    };
    if body {
        refused("413", "The body is too long");
        refused("415", "The body is not application/json");
    }
    if body || operation.parameters.is_some() || access != Access::Open {
        refused("400", "Something is wrong with the request; the problem names the fields");
    }
    if access != Access::Open || !is_safe {
        refused("403", "It is not allowed to whoever asks, or came from another site's page");
    }
    if access != Access::Open {
        refused("401", "Nobody is signed in");
        refused("503", "It cannot be known yet; come again after Retry-After");
        let one_of = ["cookie", "bearer"].map(|name| SecurityRequirement::new(name, Vec::<String>::new()));
        operation.security = Some(one_of.to_vec());
    }
    if let Access::Role(role) = access {
        refused("404", "There is no such team or thing, or it is not yours: both read the same");
        let described = "The team; without it the first of yours by name";
        let team =
            ParameterBuilder::new().name(TEAM).parameter_in(ParameterIn::Query).required(Required::False);
        let team = team.description(Some(described)).schema(Some(TeamId::schema())).build();
        operation.parameters.get_or_insert_default().push(team.into());
        let role = format!(
            "Needs the role {}.",
            serde_json::to_value(role).unwrap_or_default().as_str().unwrap_or_default()
        );
        let said = operation.description.take().unwrap_or_default();
        operation.description = Some(format!("{said}\n\n{role}").trim().to_owned());
    }
    operation
}
