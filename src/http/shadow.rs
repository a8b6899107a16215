//! Finds an issuer below whose path another provider has a resource.

use crate::{
    domain::{id::ProviderName, provider::Provider},
    http::api::{Base, public::RESOURCES},
};

/// A resource that cannot be reached, because the issuer of another provider takes its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadowed {
    pub provider: ProviderName,
    pub path: String,
    pub by: ProviderName,
}

/// Returns the first resource of a provider that another provider takes. The longer path of two issuers is
/// served first, with everything below it, so it may have no resource of the other one below it.
pub fn shadowed(providers: &[Provider]) -> Option<Shadowed> {
    providers.iter().find_map(|provider| {
        let own = provider.issuer.path();
        let longer = providers.iter().filter(|other| own < other.issuer.path());
        longer.into_iter().find_map(|other| {
            let taken = other.issuer.path();
            let path = paths(own).find(|path| is_at_or_below(path, taken))?;
            Some(Shadowed { provider: provider.name.clone(), path, by: other.name.clone() })
        })
    })
}

/// Returns the paths of a provider's resources, with the names of their parameters.
fn paths(issuer_path: &str) -> impl Iterator<Item = String> {
    RESOURCES.iter().map(move |resource| match resource.base {
        Base::Origin => resource.path.replace("/{issuer_path}", issuer_path),
        Base::Issuer | Base::Internal => format!("{issuer_path}{}", resource.path),
    })
}

fn is_at_or_below(path: &str, taken: &str) -> bool {
    path.strip_prefix(taken).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::issuer::Issuer;

    fn provider(name: &str, path: &str) -> Provider {
        let issuer = Issuer::try_from(format!("https://tx.example{path}")).expect("valid");
        Provider { name: name.parse().expect("valid"), issuer, ..Provider::example() }
    }

    /// Checks for a resource at or below `taken`, whichever provider is listed first.
    #[track_caller]
    fn check(paths: [&str; 2], taken: Option<&str>) {
        let [one, two] = [provider("one", paths[0]), provider("two", paths[1])];
        for providers in [[one.clone(), two.clone()], [two, one]] {
            let found = shadowed(&providers).map(|found| found.path);
            match taken {
                None => assert_eq!(found, None, "{paths:?}"),
                Some(taken) => assert!(
                    found.as_ref().is_some_and(|path| is_at_or_below(path, taken)),
                    "{paths:?}: {found:?}"
                ),
            }
        }
    }

    #[test]
    fn an_issuer_whose_path_has_resources_of_another_is_found() {
        check(["", "/t/acme"], None);
        check(["/t/acme", "/t/globex"], None);
        check(["/t", "/t/acme"], None);
        check(["/t", "/t-2"], None);
        check(["/t", "/.well-known"], None);
        check(["", "/ssf"], Some("/ssf"));
        check(["/t", "/t/ssf"], Some("/t/ssf"));
        check(["", "/jwks.json"], Some("/jwks.json"));
        check(["", "/.well-known"], Some("/.well-known"));
    }
}
