{{/* An endpoint of a ServiceMonitor or a PodMonitor. */}}
{{- define "singleflightd.endpoint" -}}
- port: admin
  path: /metrics
{{- with .interval }}
  interval: {{ . | quote }}
{{- end }}
{{- with .scrapeTimeout }}
  scrapeTimeout: {{ . | quote }}
{{- end }}
  relabelings:
    # What the alerts and the dashboard look for, whatever the release is called.
    - targetLabel: job
      replacement: singleflightd
{{- with .relabelings }}
{{ toYaml . | indent 4 }}
{{- end }}
{{- with .metricRelabelings }}
  metricRelabelings:
{{ toYaml . | indent 4 }}
{{- end }}
{{- end -}}

{{/* The metadata of what the operator and Grafana look for: (dict "root" $ "part" values) */}}
{{- define "singleflightd.monitorMetadata" -}}
name: {{ include "singleflightd.fullname" .root | quote }}
namespace: {{ .part.namespace | default .root.Release.Namespace | quote }}
labels:
{{ merge (deepCopy .part.labels) (include "singleflightd.labels" .root | fromYaml) | toYaml | indent 2 }}
{{- with .part.annotations }}
annotations:
{{ toYaml . | indent 2 }}
{{- end }}
{{- end -}}
