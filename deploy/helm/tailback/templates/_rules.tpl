{{/* What is allowed where workloads are: each rule for one thing that Tailback does. */}}
{{- define "tailback.scalerRules" -}}
{{- $kubernetes := .Values.kubernetes }}
# How many replicas there are, and how many there should be.
{{- range $kubernetes.resources }}
- apiGroups: [{{ .group }}]
  resources: [{{ .resource }}/scale]
  verbs: [get, patch]
- apiGroups: [{{ .group }}]
  resources: [{{ .resource }}]
  verbs: [get, list, watch]
{{- end }}
# Where they are.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
{{- if $kubernetes.podDeletionCost }}
# The annotation pod-deletion-cost, before a scale-down. RBAC knows no smaller unit than a patch.
- apiGroups: [""]
  resources: [pods]
  verbs: [patch]
{{- end }}
{{- if $kubernetes.podRestart }}
# The restart of a replica, which an operator asks for.
- apiGroups: [""]
  resources: [pods]
  verbs: [delete]
{{- end }}
{{- if $kubernetes.models.enabled }}
# What is to be served.
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch]
{{- if $kubernetes.models.seldon }}
- apiGroups: [mlops.seldon.io]
  resources: [models]
  verbs: [get, list, watch]
{{- end }}
{{- end }}
{{- end }}
