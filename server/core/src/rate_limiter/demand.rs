use std::collections::HashMap;

use slab::Slab;

use crate::model::{LoadError, RateLimit};

/// How often a resource is there, as the server was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceLimit {
    /// Its name, in small letters.
    pub name: String,
    /// How often.
    pub count: u32,
    /// On which device; `None` on each. Of no meaning for a resource that models declare as global.
    pub device: Option<u32>,
}

/// A resource: one for the server, or one for each device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Resource {
    name: String,
    /// `None` if it is global.
    device: Option<u32>,
}

/// What an instance holds while it executes.
pub(super) type Needs = Vec<(Resource, u32)>;

/// Names an instance's demand.
pub(super) type DemandId = usize;

/// What the instances of all loaded models need, and so what there is.
pub(super) struct Demands {
    limits: Vec<ResourceLimit>,
    demands: Slab<Needs>,
    /// The most that one instance needs, of the resources without a limit of their own.
    most: HashMap<Resource, u32>,
}

impl Demands {
    pub(super) fn new(limits: Vec<ResourceLimit>) -> Demands {
        Demands { limits, demands: Slab::new(), most: HashMap::new() }
    }

    /// Takes note of an instance on that device; fails if it could never execute.
    pub(super) fn add(&mut self, wanted: &RateLimit, device: u32) -> Result<DemandId, LoadError> {
        let mut needs = Needs::new();
        for resource in &wanted.resources {
            let name = resource.name.to_ascii_lowercase();
            let key = Resource { name, device: (!resource.global).then_some(device) };
            self.check(&key, &needs, &resource.name, resource.count)?;
            match needs.iter_mut().find(|(known, _)| *known == key) {
                Some((_, count)) => *count = (*count).max(resource.count),
                None => needs.push((key, resource.count)),
            }
        }
        for (resource, count) in &needs {
            let most = self.most.entry(resource.clone()).or_default();
            *most = (*most).max(*count);
        }
        Ok(self.demands.insert(needs))
    }

    /// Forgets an instance.
    pub(super) fn remove(&mut self, id: DemandId) {
        self.demands.remove(id);
        self.most.clear();
        for (resource, count) in self.demands.iter().flat_map(|(_, needs)| needs) {
            let most = self.most.entry(resource.clone()).or_default();
            *most = (*most).max(*count);
        }
    }

    pub(super) fn needs(&self, id: DemandId) -> &Needs {
        &self.demands[id]
    }

    /// How often the resource is there.
    pub(super) fn limit(&self, resource: &Resource) -> u32 {
        self.given(resource).or_else(|| self.most.get(resource).copied()).unwrap_or(0)
    }

    fn given(&self, resource: &Resource) -> Option<u32> {
        let named = || self.limits.iter().filter(|limit| limit.name == resource.name);
        match resource.device {
            None => named().map(|limit| limit.count).next_back(),
            Some(device) => {
                let on = |wanted: Option<u32>| named().rfind(|limit| limit.device == wanted);
                on(Some(device)).or_else(|| on(None)).map(|limit| limit.count)
            }
        }
    }

    /// Whether a resource can be had, by an instance that already has `needs`.
    fn check(&self, resource: &Resource, needs: &Needs, name: &str, count: u32) -> Result<(), LoadError> {
        let mut known = self.most.keys().chain(needs.iter().map(|(known, _)| known));
        if known
            .any(|known| known.name == resource.name && known.device.is_none() != resource.device.is_none())
        {
            return Err(LoadError::invalid(format!(
                "Resource \"{name}\" is present as both global and device-specific resource in the model configuration."
            )));
        }
        match self.given(resource) {
            Some(limit) if limit < count => Err(LoadError::invalid(format!(
                "Resource count for \"{name}\" is limited to {limit} which will prevent scheduling of one or more model \
                 instances, the minimum required count is {count}"
            ))),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ResourceDemand;

    fn wants(name: &str, count: u32, global: bool) -> RateLimit {
        let resource = ResourceDemand { name: name.to_owned(), count, global };
        RateLimit { resources: vec![resource], priority: 1 }
    }

    fn limit(name: &str, count: u32, device: Option<u32>) -> ResourceLimit {
        ResourceLimit { name: name.to_owned(), count, device }
    }

    fn on(name: &str, device: Option<u32>) -> Resource {
        Resource { name: name.to_owned(), device }
    }

    #[test]
    fn what_has_no_limit_is_there_as_often_as_the_most_demanding_instance_needs() {
        let mut demands = Demands::new(Vec::new());
        demands.add(&wants("R", 2, false), 0).unwrap();
        let most = demands.add(&wants("r", 5, false), 0).unwrap();
        demands.add(&wants("R", 9, false), 1).unwrap();
        assert_eq!(demands.limit(&on("r", Some(0))), 5, "names know no case");
        assert_eq!(demands.limit(&on("r", Some(1))), 9, "each device has its own");
        demands.remove(most);
        assert_eq!(demands.limit(&on("r", Some(0))), 2);
    }

    #[test]
    fn a_limit_holds_on_its_device_or_on_all_and_for_what_is_global_everywhere() {
        let limits = vec![limit("a", 3, None), limit("a", 7, Some(1)), limit("g", 4, Some(5))];
        let demands = Demands::new(limits);
        assert_eq!(demands.limit(&on("a", Some(0))), 3);
        assert_eq!(demands.limit(&on("a", Some(1))), 7);
        assert_eq!(demands.limit(&on("g", None)), 4);
        assert_eq!(demands.limit(&on("unknown", None)), 0);
    }

    #[test]
    fn an_instance_that_could_never_execute_is_refused_with_the_count_it_needs() {
        let mut demands = Demands::new(vec![limit("r", 3, None)]);
        let error = demands.add(&wants("R", 4, true), 0).unwrap_err();
        assert!(
            error.message.contains("limited to 3") && error.message.contains("required count is 4"),
            "{error}"
        );
        assert!(demands.add(&wants("R", 3, true), 0).is_ok());
    }

    #[test]
    fn a_resource_cannot_be_global_and_not() {
        let mut demands = Demands::new(Vec::new());
        demands.add(&wants("R", 1, true), 0).unwrap();
        let error = demands.add(&wants("R", 1, false), 0).unwrap_err();
        assert!(error.message.contains("both global and device-specific"), "{error}");
        let mut both = wants("S", 1, true);
        both.resources.extend(wants("S", 1, false).resources);
        assert!(demands.add(&both, 0).is_err());
    }
}
