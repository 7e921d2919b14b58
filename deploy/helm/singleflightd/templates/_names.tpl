{{/* The chart's name, or what nameOverride says. */}}
{{- define "singleflightd.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
The name of everything in the release. Short enough that "-headless" and its like still fit into the 63
letters of a Service.
*/}}
{{- define "singleflightd.fullname" -}}
{{- $name := include "singleflightd.name" . -}}
{{- $full := .Values.fullnameOverride -}}
{{- if not $full -}}
{{- $full = contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- end -}}
{{- $full | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{/* What the Service, the Deployment and the budget find the daemon by. It never changes. */}}
{{- define "singleflightd.selectorLabels" -}}
app.kubernetes.io/name: {{ include "singleflightd.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The labels of everything but pods. */}}
{{- define "singleflightd.labels" -}}
{{- $own := include "singleflightd.selectorLabels" . | fromYaml -}}
{{- $chart := printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 -}}
{{- $_ := set $own "helm.sh/chart" $chart -}}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- toYaml (merge $own .Values.commonLabels) -}}
{{- end -}}

{{/* The labels of the pods of a hook. The Service must not take them for the daemon. */}}
{{- define "singleflightd.hookLabels" -}}
{{- $own := dict "app.kubernetes.io/name" (printf "%s-%s" (include "singleflightd.name" .root) .part) -}}
{{- $_ := set $own "app.kubernetes.io/instance" .root.Release.Name -}}
{{- toYaml (merge $own .root.Values.commonLabels) -}}
{{- end -}}

{{- define "singleflightd.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "singleflightd.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* A hook runs before the release's own account is there. */}}
{{- define "singleflightd.hookServiceAccountName" -}}
{{- .Values.serviceAccount.create | ternary "default" (.Values.serviceAccount.name | default "default") -}}
{{- end -}}

{{- define "singleflightd.image" -}}
{{- $image := .Values.image -}}
{{- $global := .Values.global | default dict -}}
{{- $registry := $global.imageRegistry | default $image.registry -}}
{{- if $registry -}}{{ trimSuffix "/" $registry }}/{{- end -}}
{{- $image.repository -}}
{{- if or $image.tag (not $image.digest) -}}:{{ $image.tag | default .Chart.AppVersion }}{{- end -}}
{{- if $image.digest -}}@{{ $image.digest }}{{- end -}}
{{- end -}}

{{/* Where callers reach it inside the cluster. */}}
{{- define "singleflightd.host" -}}
{{- include "singleflightd.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end -}}

{{- define "singleflightd.address" -}}
{{- include "singleflightd.host" . }}:{{ .Values.service.port }}
{{- end -}}

{{/* What proxies between callers and the daemon are told. With TLS they see nothing of it. */}}
{{- define "singleflightd.appProtocol" -}}
{{- if .Values.service.appProtocol -}}
{{- .Values.service.appProtocol -}}
{{- else if not (include "singleflightd.tlsSecret" .) -}}
kubernetes.io/h2c
{{- end -}}
{{- end -}}
