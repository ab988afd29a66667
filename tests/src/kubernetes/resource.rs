//! The kinds of objects the double serves, as a table: what they are called,
//! where they live and which subresources they have.

use std::fmt;

/// A kind of object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: String,
    /// Version in the group.
    pub version: String,
    /// Name in paths.
    pub plural: String,
    /// Name in objects.
    pub kind: String,
    /// Short names, for kubectl.
    pub short: Vec<String>,
    /// Where its names are unique.
    pub scope: Scope,
    /// What its `status` is to writers.
    pub status: StatusPart,
    /// The `scale` subresource, if it has one.
    pub scale: Option<ScalePaths>,
}

/// Where an object's name is unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In its namespace.
    Namespace,
    /// In the cluster.
    Cluster,
}

/// What an object's `status` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusPart {
    /// A field as any other, or none.
    Plain,
    /// Written only through the `status` subresource; and writes elsewhere that
    /// change the rest raise `metadata.generation`.
    Subresource,
}

/// JSON pointers of what a Scale shows, as a custom resource definition's
/// `subresources.scale` has them in dotted form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// `specReplicasPath`.
    pub spec: String,
    /// `statusReplicasPath`.
    pub status: String,
    /// `labelSelectorPath`: a selector object or its text form.
    pub selector: Option<String>,
}

impl Resource {
    /// A kind of `group`, empty for the core group, that lives in namespaces.
    #[must_use]
    pub fn new(group: &str, version: &str, plural: &str, kind: &str) -> Self {
        Self {
            group: group.into(),
            version: version.into(),
            plural: plural.into(),
            kind: kind.into(),
            short: Vec::new(),
            scope: Scope::Namespace,
            status: StatusPart::Plain,
            scale: None,
        }
    }

    /// Seldon Core 2's `Model`, with the scale subresource of its definition.
    #[must_use]
    pub fn seldon_model() -> Self {
        Self::new("mlops.seldon.io", "v1alpha1", "models", "Model")
            .with_status()
            .with_scale(Some("/status/selector"))
            .short("mlm")
    }

    /// The same, with a `status` subresource.
    #[must_use]
    pub fn with_status(mut self) -> Self {
        self.status = StatusPart::Subresource;
        self
    }

    /// The same, with a `scale` subresource over `.spec.replicas` and
    /// `.status.replicas`.
    #[must_use]
    pub fn with_scale(mut self, selector: Option<&str>) -> Self {
        self.scale = Some(ScalePaths {
            spec: "/spec/replicas".into(),
            status: "/status/replicas".into(),
            selector: selector.map(Into::into),
        });
        self
    }

    /// The same, one to a cluster.
    #[must_use]
    pub fn in_cluster(mut self) -> Self {
        self.scope = Scope::Cluster;
        self
    }

    fn short(mut self, name: &str) -> Self {
        self.short.push(name.into());
        self
    }

    /// The table of those a cluster has from the start.
    #[must_use]
    pub fn built_in() -> Vec<Self> {
        let apps = |plural: &str, kind: &str| {
            Self::new("apps", "v1", plural, kind)
                .with_status()
                .with_scale(Some("/spec/selector"))
        };
        let rbac =
            |plural: &str, kind: &str| Self::new("rbac.authorization.k8s.io", "v1", plural, kind);
        vec![
            Self::new("", "v1", "namespaces", "Namespace")
                .with_status()
                .in_cluster()
                .short("ns"),
            Self::new("", "v1", "nodes", "Node")
                .with_status()
                .in_cluster()
                .short("no"),
            Self::new("", "v1", "pods", "Pod").with_status().short("po"),
            Self::new("", "v1", "services", "Service")
                .with_status()
                .short("svc"),
            Self::new("", "v1", "serviceaccounts", "ServiceAccount").short("sa"),
            Self::new("", "v1", "configmaps", "ConfigMap").short("cm"),
            Self::new("", "v1", "secrets", "Secret"),
            Self::new("", "v1", "events", "Event").short("ev"),
            apps("deployments", "Deployment").short("deploy"),
            apps("replicasets", "ReplicaSet").short("rs"),
            apps("statefulsets", "StatefulSet").short("sts"),
            Self::new("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"),
            Self::new("coordination.k8s.io", "v1", "leases", "Lease"),
            Self::new("events.k8s.io", "v1", "events", "Event").short("ev"),
            rbac("roles", "Role"),
            rbac("rolebindings", "RoleBinding"),
            rbac("clusterroles", "ClusterRole").in_cluster(),
            rbac("clusterrolebindings", "ClusterRoleBinding").in_cluster(),
        ]
    }

    /// `apps/v1`, `v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Whether `metadata.generation` counts its changes.
    #[must_use]
    pub fn has_generation(&self) -> bool {
        // Pods and nodes have a status but no generation worth the name;
        // EndpointSlices have one without a status.
        match self.kind.as_str() {
            "Pod" | "Node" | "Namespace" | "Service" => false,
            "EndpointSlice" => true,
            _ => self.status == StatusPart::Subresource,
        }
    }
}

/// `deployments.apps`, `pods`: the name in messages, and the key in the store.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.plural)?;
        if self.group.is_empty() {
            return Ok(());
        }
        write!(f, ".{}", self.group)
    }
}
