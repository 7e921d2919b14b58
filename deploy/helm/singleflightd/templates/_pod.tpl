{{/* What the chart itself tells the daemon; .withoutTLS leaves out what is not there yet. */}}
{{- define "singleflightd.derived" -}}
{{- $root := .root -}}
{{- $folder := include "singleflightd.folder" $root -}}
{{- $tls := include "singleflightd.tlsSecret" $root -}}
{{- $ca := include "singleflightd.clientCA" $root -}}
{{- $host := contains ":" $root.Values.listenHost | ternary (printf "[%s]" $root.Values.listenHost) $root.Values.listenHost -}}
listen: {{ printf "%s:7433" $host | quote }}
admin-listen: {{ printf "%s:9433" $host | quote }}
insecure-listen: {{ or (include "singleflightd.open" $root) .withoutTLS | empty | ternary "no" "yes" | quote }}
{{- if and $tls (not .withoutTLS) }}
tls-cert: {{ $folder }}/tls/{{ $tls }}/{{ $root.Values.tls.certKey }}
tls-key: {{ $folder }}/tls/{{ $tls }}/{{ $root.Values.tls.keyKey }}
{{- if $ca }}
{{- $where := $root.Values.tls.clientCA.fromTLSSecret | ternary "tls" "client-ca" }}
tls-client-ca: {{ $folder }}/{{ $where }}/{{ splitList "/" $ca | last }}/{{ $root.Values.tls.clientCA.key }}
tls-client-auth: {{ $root.Values.tls.clientCA.auth }}
{{- end }}
{{- end }}
{{- with $root.Values.tokens.existingSecret }}
token-file: {{ $folder }}/tokens/{{ . }}/{{ $root.Values.tokens.key }}
{{- end }}
{{- with include "singleflightd.accessConfigMap" $root }}
access-file: {{ $folder }}/access/{{ . }}/{{ $root.Values.access.key }}
{{- end }}
{{- if $root.Values.persistence.enabled }}
data-dir: /var/lib/singleflightd
{{- end }}
{{- end -}}

{{- define "singleflightd.env" -}}
{{- $root := .root -}}
{{- range $name, $value := include "singleflightd.derived" . | fromYaml }}
- name: SINGLEFLIGHTD_{{ $name | upper | replace "-" "_" }}
  value: {{ $value | quote }}
{{- end }}
{{- range $name, $value := $root.Values.settings }}
{{- if not (kindIs "invalid" $value) }}
- name: SINGLEFLIGHTD_{{ $name | upper | replace "-" "_" }}
  value: {{ include "singleflightd.settingText" $value | quote }}
{{- end }}
{{- end }}
{{- with $root.Values.tracing.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- with $root.Values.extraEnv }}
{{ tpl (toYaml .) $root }}
{{- end }}
{{- end -}}

{{/* What is mounted: the files, the data and what the user adds; for the Job that checks, the files alone. */}}
{{- define "singleflightd.mounts" -}}
{{- $mounts := list -}}
{{- range include "singleflightd.files" . | fromYamlArray -}}
{{- $mounts = append $mounts (dict "name" .name "mountPath" .folder "readOnly" true) -}}
{{- end -}}
{{- if not .check -}}
{{- if .root.Values.persistence.enabled -}}
{{- $mounts = append $mounts (dict "name" "data" "mountPath" "/var/lib/singleflightd") -}}
{{- end -}}
{{- $mounts = concat $mounts .root.Values.extraVolumeMounts -}}
{{- end -}}
{{- if $mounts -}}
volumeMounts:
{{ toYaml $mounts | indent 2 }}
{{- end -}}
{{- end -}}

{{- define "singleflightd.volumes" -}}
{{- $volumes := list -}}
{{- range include "singleflightd.files" . | fromYamlArray -}}
{{- $volumes = append $volumes (merge (dict "name" .name) .source) -}}
{{- end -}}
{{- if not .check -}}
{{- with .root.Values.persistence -}}
{{- if .enabled -}}
{{- $claim := .existingClaim | default (printf "%s-data" (include "singleflightd.fullname" $.root)) -}}
{{- $source := dict "claimName" $claim -}}
{{- $volumes = append $volumes (dict "name" "data" "persistentVolumeClaim" $source) -}}
{{- end -}}
{{- end -}}
{{- $volumes = concat $volumes (tpl (toYaml .root.Values.extraVolumes) .root | fromYamlArray) -}}
{{- end -}}
{{- if $volumes -}}
volumes:
{{ toYaml $volumes | indent 2 }}
{{- end -}}
{{- end -}}

{{/* What the daemon and the pods of hooks have in common. */}}
{{- define "singleflightd.podSettings" -}}
automountServiceAccountToken: false
# The variables of a Service called singleflightd look like settings.
enableServiceLinks: false
{{- $global := .Values.global | default dict }}
{{- with concat ($global.imagePullSecrets | default list) .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ if kindIs "map" . }}{{ quote .name }}{{ else }}{{ quote . }}{{ end }}
{{- end }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
{{ toYaml . | indent 2 }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
{{ toYaml . | indent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
{{ toYaml . | indent 2 }}
{{- end }}
{{- end -}}
