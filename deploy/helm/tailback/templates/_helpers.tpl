{{- define "tailback.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Of every object; 55 characters leave room for -peers, -scaler and the like. */}}
{{- define "tailback.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 55 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 55 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 55 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "tailback.selector" -}}
app.kubernetes.io/name: {{ include "tailback.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tailback.labels" -}}
{{ include "tailback.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "tailback.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "tailback.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "tailback.configMap" -}}
{{- default (printf "%s-manifests" (include "tailback.fullname" .)) .Values.existingConfigMap }}
{{- end }}

{{/* The namespaces whose workloads it may scale, as a JSON list; ["*"]: all. */}}
{{- define "tailback.namespaces" -}}
{{- default (list .Release.Namespace) .Values.kubernetes.namespaces | uniq | toJson }}
{{- end }}

{{/* TAILBACK_KUBE_MODELS; empty: off. */}}
{{- define "tailback.models" -}}
{{- if and .Values.kubernetes.enabled .Values.kubernetes.models.enabled }}
{{- default (include "tailback.namespaces" . | fromJsonArray | first) .Values.kubernetes.models.namespace }}
{{- end }}
{{- end }}

{{/* What no schema can say. Included by the Deployment, which is always rendered. */}}
{{- define "tailback.validate" -}}
{{- $models := include "tailback.models" . }}
{{- if not (or .Values.manifests .Values.existingConfigMap $models) }}
{{- fail "nothing is served: set manifests (--set-file manifests=FILE), existingConfigMap, or kubernetes.models.enabled" }}
{{- end }}
{{- if and .Values.manifests .Values.existingConfigMap }}
{{- fail "manifests and existingConfigMap are both set: give one" }}
{{- end }}
{{- range $at, $text := regexSplit "(?m)^---[ \\t]*(#.*)?$" .Values.manifests -1 }}
{{- $document := fromYaml $text }}
{{- if $document.Error }}
{{- fail (printf "manifests, document %d: %s" (add1 $at) $document.Error) }}
{{- else if and $document (not $document.kind) }}
{{- fail (printf "manifests, document %d: there is no kind, expected Server, ServerConfig, Model or Host" (add1 $at)) }}
{{- else if and $document (not (has $document.kind (list "Server" "ServerConfig" "Model" "Host"))) }}
{{- fail (printf "manifests, document %d: kind: found %q, expected Server, ServerConfig, Model or Host" (add1 $at) (toString $document.kind)) }}
{{- end }}
{{- end }}
{{- $namespaces := include "tailback.namespaces" . | fromJsonArray }}
{{- if and (has "*" $namespaces) (gt (len $namespaces) 1) }}
{{- fail "kubernetes.namespaces: \"*\" stands for all, so it stands alone" }}
{{- end }}
{{- if and $models (gt (len $namespaces) 1) (not .Values.kubernetes.models.namespace) }}
{{- fail (printf "kubernetes.models.namespace: say from which of kubernetes.namespaces %v models are taken, or set kubernetes.models.enabled to false" $namespaces) }}
{{- end }}
{{- if and $models (not (has "*" $namespaces)) (not (has $models $namespaces)) }}
{{- fail (printf "kubernetes.models.namespace: %q is not among kubernetes.namespaces %v, so its workloads could not be scaled: add it there" $models $namespaces) }}
{{- end }}
{{- if and .Values.autoscaling.enabled (lt (int .Values.autoscaling.maxReplicas) (int .Values.autoscaling.minReplicas)) }}
{{- fail "autoscaling.maxReplicas is below autoscaling.minReplicas" }}
{{- end }}
{{- if and .Values.tls.clientCA (not .Values.tls.secretName) }}
{{- fail "tls.clientCA needs tls.secretName" }}
{{- end }}
{{- end }}
