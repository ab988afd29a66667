"""deploy/ held against what it is for: Helm's engine renders it, the schemas of Kubernetes, of the
Prometheus Operator, of KEDA and of Grafana take it, and it allows exactly what it should.

    deploy.py TAILBACK    the built binary, which reads the manifests that the chart mounts
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import helm_python
import kubernetes_validate
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor
from grafana_foundation_sdk.cog import encoder, plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
import chart  # noqa: E402

# The oldest version that the chart supports, and the newest whose schemas are known.
VERSIONS = ["1.30", "1.37"]
# Kinds that Kubernetes does not know by itself.
CUSTOM = {kind.__name__: kind for kind in (PrometheusRule, ServiceMonitor, ScaledObject)}

CASES = {path.name.removesuffix("-values.yaml"): chart.values_of(path)
         for path in sorted((chart.CHART / "ci").glob("*-values.yaml"))}
CASES["defaults"] = {}

READ = ("get", "list", "watch")


def may(group, resource, *verbs, name=None):
    return {(group, resource, name, verb) for verb in verbs}


DEPLOYMENTS = may("apps", "deployments/scale", "get", "patch") | may("apps", "deployments", *READ)
STATEFULSETS = may("apps", "statefulsets/scale", "get", "patch") | may("apps", "statefulsets", *READ)
ENDPOINTS = may("discovery.k8s.io", "endpointslices", *READ)
MARKS = may("", "pods", "patch")


def lease(name):
    return (ENDPOINTS | may("coordination.k8s.io", "leases", "create")
            | may("coordination.k8s.io", "leases", "get", "update", name=name))


# Everything that is allowed, by kind, namespace and name: no more and no less.
ALLOWED = {
    "defaults": {
        ("Role", "prod", "tailback-peers"): lease("tailback"),
        ("Role", "prod", "tailback-scaler"): DEPLOYMENTS | STATEFULSETS | ENDPOINTS | MARKS,
    },
    "minimal": {},
    "single-namespace": {
        ("Role", "prod", "tailback-peers"): lease("tailback"),
        ("Role", "prod", "tailback-scaler"): DEPLOYMENTS | ENDPOINTS | MARKS,
    },
    "cluster-wide": {
        ("Role", "prod", "tailback-peers"): lease("tailback"),
        ("ClusterRole", None, "prod-tailback-scaler"):
            DEPLOYMENTS | STATEFULSETS | ENDPOINTS | MARKS
            | may("mlops.seldon.io", "models/scale", "get", "patch")
            | may("mlops.seldon.io", "models", *READ),
    },
    "full": {
        ("Role", "prod", "gateway-peers"): lease("gateway"),
        **{("Role", namespace, "gateway-scaler"):
            DEPLOYMENTS | ENDPOINTS | may("apps", "statefulsets", *READ) | may("", "pods", "delete")
            | may("leaderworkerset.x-k8s.io", "leaderworkersets/scale", "get", "patch")
            | may("leaderworkerset.x-k8s.io", "leaderworkersets", *READ)
           for namespace in ("models-a", "models-b")},
    },
}

# Values that are refused, and what the refusal names.
REFUSED = [
    ({"replica": 3}, "replica"),
    ({"replicas": 0}, "replicas"),
    ({"replicas": "two"}, "replicas"),
    ({"drainSeconds": 0.5}, "drainSeconds"),
    ({"listenAddress": "::"}, "listenAddress"),
    ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
    ({"service": {"type": "ExternalName"}}, "type"),
    ({"kubernetes": {"namespaces": ["Models"]}}, "namespaces"),
    ({"kubernetes": {"resources": [{"resource": "deployments"}]}}, "group"),
    ({"extraEnv": [{"value": "x"}]}, "name"),
    ({"kubernetes": {"namespaces": ["*", "models"]}}, "stands alone"),
    ({"kubernetes": {"models": {"namespace": "*"}}}, "kubernetes.models.namespace"),
    ({"kubernetes": {"namespaces": ["a"], "models": {"namespace": "b"}}}, "kubernetes.models.namespace"),
    ({"kubernetes": {"namespaces": ["a", "b"]}}, "kubernetes.models.namespace"),
    ({"kubernetes": {"models": {"enabled": False}}}, "nothing is served"),
    ({"kubernetes": {"enabled": False}}, "nothing is served"),
    ({"manifests": "# none", "existingConfigMap": "b"}, "give one"),
    ({"manifests": "kind: Nope"}, "/manifests"),
    ({"manifests": "metadata: { name: m }"}, "/manifests"),
    ({"manifests": "kind: Server\n---\nkind: Deployment\n"}, 'document 2: kind: found "Deployment"'),
    ({"manifests": "{kind: Model}\n--- # next\n{kind: Nope}\n"}, 'document 2: kind: found "Nope"'),
    ({"manifests": "kind: Server\n---\nspec: {}"}, "document 2: there is no kind"),
    ({"manifests": "kind: Server\na: [b"}, "document 1"),
    ({"autoscaling": {"enabled": True, "minReplicas": 5, "maxReplicas": 2}}, "autoscaling.maxReplicas"),
    ({"tls": {"clientCA": True}}, "tls.secretName"),
]


def main(tailback):
    print("rendered by Helm", helm_python.helm_sdk_version())
    for case, values in CASES.items():
        lint(case, values)
        manifest, notes = chart.install(values, namespace="prod")
        documents = chart.documents(manifest)
        for document in documents:
            valid(case, document)
        for workload in documents:
            if "template" in workload.get("spec", {}):
                broken = restricted(workload["spec"]["template"]["spec"])
                assert not broken, (case, workload["kind"], broken)
        pods(case, documents)
        assert allowed(documents) == ALLOWED[case], (case, allowed(documents))
        bound(case, documents)
        variables(documents)
        served(tailback, case, documents)
        assert "/decisions" in notes, (case, notes)
        # An image that nobody publishes is told of, unless values say where it is.
        assert ("ImagePullBackOff" in notes) == ("image" not in values), (case, notes)
    rules_are_told_apart()
    models_are_taken_from_where_workloads_are()
    refusals()
    packaged()
    plain()
    dashboard()
    valid("keda", chart.values_of(ROOT / "deploy/keda/scaledobject.yaml"))


def lint(case, values):
    report = helm_python.lint(chart.CHART, values, strict=True, kube_version="v1.30.0")
    worst = [m for m in report["messages"] if m["severity"] > 1]  # 1: would like an icon
    assert not worst and not report["errors"], (case, report)


def valid(case, document):
    """The schema takes it, without a field that the schema does not know."""
    if document["kind"] in CUSTOM:
        model = CUSTOM[document["kind"]].model_validate(document)
        known = model.model_dump(mode="json", by_alias=True, exclude_unset=True)
        assert known == document, (case, document["kind"], known, document)
        return
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            raise AssertionError(f"{case}, {version}: {document['kind']}: {error.message}") from error


def of_kind(documents, kind):
    return [document for document in documents if document["kind"] == kind]


def restricted(pod):
    """Which rules of the Pod Security Standard `restricted` a pod breaks.

    Each rule as of https://kubernetes.io/docs/concepts/security/pod-security-standards/, those of
    `baseline` first, which it includes. What is left to a pod's own setting is asked of every container.
    """
    own = pod.get("securityContext", {})
    kinds = ("containers", "initContainers", "ephemeralContainers")
    containers = [container for kind in kinds for container in pod.get(kind, [])]
    of_containers = [container.get("securityContext", {}) for container in containers]
    contexts = [own, *of_containers]

    def each(name, fits):
        """Every container has it, itself or by its pod."""
        return all(fits(context.get(name, own.get(name))) for context in of_containers)

    def if_set(name, fits):
        return all(fits(context[name]) for context in contexts if name in context)

    handlers = [container.get(probe, {}) for container in containers
                for probe in ("livenessProbe", "readinessProbe", "startupProbe")]
    handlers += [hook for container in containers for hook in container.get("lifecycle", {}).values()]
    volumes = ({"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
                "projected", "secret"})
    selinux = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
    rules = {
        "HostProcess": if_set("windowsOptions", lambda o: not o.get("hostProcess")),
        "Host Namespaces": not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")),
        "Privileged Containers": if_set("privileged", lambda is_it: not is_it),
        "HostPath Volumes": not any("hostPath" in volume for volume in pod.get("volumes", [])),
        "Host Ports": not any(port.get("hostPort") for container in containers
                              for port in container.get("ports", [])),
        "Host Probes / Lifecycle Hooks": not any(handler.get(kind, {}).get("host") for handler in handlers
                                                 for kind in ("httpGet", "tcpSocket")),
        "AppArmor": if_set("appArmorProfile", lambda profile: profile["type"] != "Unconfined"),
        "SELinux": if_set("seLinuxOptions", lambda options: options.get("type", "") in selinux
                          and not options.get("user") and not options.get("role")),
        "/proc Mount Type": if_set("procMount", lambda kind: kind == "Default"),
        "Sysctls": not own.get("sysctls"),
        "Volume Types": all(set(volume) - {"name"} <= volumes for volume in pod.get("volumes", [])),
        "Privilege Escalation": all(context.get("allowPrivilegeEscalation") is False
                                    for context in of_containers),
        "Running as Non-root": each("runAsNonRoot", lambda is_set: is_set is True),
        "Running as Non-root user": if_set("runAsUser", lambda user: user != 0),
        "Seccomp": each("seccompProfile", lambda profile: (profile or {}).get("type")
                        in ("RuntimeDefault", "Localhost")),
        "Capabilities": all("ALL" in context.get("capabilities", {}).get("drop", [])
                            and set(context["capabilities"].get("add", [])) <= {"NET_BIND_SERVICE"}
                            for context in of_containers),
    }
    return {rule for rule, holds in rules.items() if not holds}


def rules_are_told_apart():
    """A pod that sets nothing breaks what must be set, and one that breaks a rule is found by it."""
    assert restricted({"containers": [{}]}) == {
        "Privilege Escalation", "Running as Non-root", "Seccomp", "Capabilities"}
    sound = {"securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
             "containers": [{"securityContext": {"allowPrivilegeEscalation": False,
                                                 "capabilities": {"drop": ["ALL"]}}}]}
    assert not restricted(sound)
    spoilt = {
        "Host Namespaces": {"hostPID": True},
        "HostPath Volumes": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
        "Sysctls": {"securityContext": sound["securityContext"] | {"sysctls": [{"name": "s", "value": "1"}]}},
        "Running as Non-root user": {"securityContext": sound["securityContext"] | {"runAsUser": 0}},
        "Seccomp": {"securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "Unconfined"}}},
        "Capabilities": {"initContainers": [{"securityContext": {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}}}]},
    }
    for rule, change in spoilt.items():
        assert rule in restricted(sound | change), rule


def pods(case, documents):
    """That everything finds what it names."""
    deployment = of_kind(documents, "Deployment")[0]
    template = deployment["spec"]["template"]
    pod, labels = template["spec"], template["metadata"]["labels"]
    container, = pod["containers"]

    # Beyond the standard: nothing is written, and nothing is mounted but configuration.
    assert container["securityContext"]["readOnlyRootFilesystem"], case
    assert all(set(v) - {"name"} <= {"configMap", "secret"} for v in pod["volumes"])

    env = {variable["name"]: variable.get("value") for variable in container["env"]}
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed = pause + int(env["TAILBACK_DRAIN_SECONDS"])
    assert pod["terminationGracePeriodSeconds"] > needed, case

    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for name, variable in (("http", "TAILBACK_LISTEN"), ("admin", "TAILBACK_ADMIN")):
        assert env[variable].rsplit(":", 1)[1] == str(ports[name]), (case, env[variable])
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"),
                        ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "admin"}

    selectors = [deployment["spec"]["selector"]["matchLabels"]]
    selectors += [d["spec"]["selector"] for d in of_kind(documents, "Service")]
    selectors += [d["spec"]["selector"]["matchLabels"] for d in of_kind(documents, "PodDisruptionBudget")]
    selectors += [d["spec"]["podSelector"]["matchLabels"] for d in of_kind(documents, "NetworkPolicy")]
    for selector in selectors:
        assert selector.items() <= labels.items(), (case, selector, labels)
    services = {d["metadata"]["name"]: d for d in of_kind(documents, "Service")}
    for service in services.values():
        assert all(port["targetPort"] in ports for port in service["spec"]["ports"])
    for monitor in of_kind(documents, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        found = [s for s in services.values() if wanted <= s["metadata"]["labels"].items()]
        assert len(found) == 1, "each proxy is scraped once"
        assert monitor["spec"]["endpoints"][0]["port"] == found[0]["spec"]["ports"][0]["name"]
    if "TAILBACK_KUBE_PEERS" in env:
        peers = services[env["TAILBACK_KUBE_PEERS"]]["spec"]
        assert peers["clusterIP"] == "None" and peers["publishNotReadyAddresses"], case
    for scaler in of_kind(documents, "HorizontalPodAutoscaler"):
        assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
        assert "replicas" not in deployment["spec"], "or each upgrade undoes its work"


def allowed(documents):
    roles = {}
    for role in of_kind(documents, "Role") + of_kind(documents, "ClusterRole"):
        metadata = role["metadata"]
        roles[role["kind"], metadata.get("namespace"), metadata["name"]] = {
            (group, resource, name, verb)
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for name in rule.get("resourceNames", [None])
            for verb in rule["verbs"]}
    return roles


def bound(case, documents):
    """Each role to the pods' service account, and nothing else to it."""
    pod = of_kind(documents, "Deployment")[0]["spec"]["template"]["spec"]
    roles = set()
    for binding in of_kind(documents, "RoleBinding") + of_kind(documents, "ClusterRoleBinding"):
        assert binding["subjects"] == [{
            "kind": "ServiceAccount", "name": pod["serviceAccountName"], "namespace": "prod"}]
        ref = binding["roleRef"]
        roles.add((ref["kind"], binding["metadata"].get("namespace"), ref["name"]))
    assert roles == ALLOWED[case].keys(), (case, roles)
    assert pod["automountServiceAccountToken"] == bool(roles), case


def variables(documents):
    """A variable that Tailback does not know would keep it from starting."""
    known = (ROOT / "docs/reference/environment.md").read_text()
    container = of_kind(documents, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]
    for variable in container["env"]:
        assert f"| `{variable['name']}` |" in known, variable


def served(tailback, case, documents):
    """Tailback takes the manifests as they are mounted, and the environment."""
    text = "".join(d["data"].get("manifests.yaml", "") for d in of_kind(documents, "ConfigMap"))
    assert text.strip() == CASES[case].get("manifests", text).strip(), (case, text)
    container = of_kind(documents, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0]
    env = {e["name"]: e.get("value", "what-a-secret-would-be") for e in container["env"]}
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "manifests.yaml").write_text(text)
        done = subprocess.run([tailback, "check", folder], capture_output=True, text=True, env=os.environ | env)
    assert done.returncode == 0, (case, done.stdout, done.stderr)


def models_are_taken_from_where_workloads_are():
    for namespaces, taken in (([], "prod"), (["a"], "a"), (["*"], "*")):
        manifest, _ = chart.install({"kubernetes": {"namespaces": namespaces}}, namespace="prod")
        deployment, = of_kind(chart.documents(manifest), "Deployment")
        env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        assert {"name": "TAILBACK_KUBE_MODELS", "value": taken} in env, (namespaces, env)


def refusals():
    for values, named in REFUSED:
        try:
            chart.install(values)
        except helm_python.HelmError as error:
            assert named in str(error), (values, named, str(error))
        else:
            raise AssertionError(f"{values} were taken")


def packaged():
    """The archive has what the folder only links to."""
    values = CASES["full"]
    with tempfile.TemporaryDirectory() as folder:
        archive = helm_python.package(chart.CHART, destination=folder)
        assert chart.install(values, chart=archive) == chart.install(values)
    rules, = of_kind(chart.documents(chart.install(values)[0]), "PrometheusRule")
    assert rules["spec"] == chart.values_of(ROOT / "deploy/prometheus/alerts.yaml")


def plain():
    for name, text in chart.plain().items():
        path = chart.PLAIN / name
        assert path.exists() and path.read_text() == text, f"{name}: run `make manifests`"
        for document in chart.documents(text):
            valid(name, document)
    assert {p.name for p in chart.PLAIN.iterdir()} == chart.plain().keys()
    assert not re.search("[Hh]elm.sh", "".join(chart.plain().values()))


def dashboard():
    """Grafana's own types take them, without a field that they do not know."""
    plugins.register_default_plugins()
    for file in (ROOT / "deploy/grafana").iterdir():
        wanted = json.loads(file.read_text())
        known = json.loads(json.dumps(Dashboard.from_json(wanted), cls=encoder.JSONEncoder))
        lost(wanted, known, file.name)


def lost(wanted, known, where):
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            assert key in known, f"{where}.{key}: no such field"
            lost(value, known[key], f"{where}.{key}")
    elif isinstance(wanted, list):
        assert len(wanted) == len(known), where
        for i, (one, other) in enumerate(zip(wanted, known)):
            lost(one, other, f"{where}[{i}]")
    else:
        assert wanted == known, (where, wanted, known)


if __name__ == "__main__":
    main(*sys.argv[1:])
