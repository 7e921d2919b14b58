{{/*
Where the files of Secrets and ConfigMaps are seen. Each path names what it comes from, so that the
daemon's "cannot be read" says which Secret is missing or not whole. Folders, never subPath: kubelet
brings a folder up to date when the Secret changes, and the daemon reads it again.
*/}}
{{- define "singleflightd.folder" -}}/etc/singleflightd{{- end -}}

{{- define "singleflightd.tlsSecret" -}}
{{- $cm := .Values.tls.certManager -}}
{{- if $cm.enabled -}}
{{- $cm.secretName | default (printf "%s-tls" (include "singleflightd.fullname" .)) -}}
{{- else -}}
{{- .Values.tls.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* Where the CA of clients' certificates is: "kind/name", or nothing. */}}
{{- define "singleflightd.clientCA" -}}
{{- $ca := .Values.tls.clientCA -}}
{{- if $ca.fromTLSSecret -}}secret/{{ include "singleflightd.tlsSecret" . }}
{{- else if $ca.existingSecret -}}secret/{{ $ca.existingSecret }}
{{- else if $ca.existingConfigMap -}}configMap/{{ $ca.existingConfigMap }}
{{- end -}}
{{- end -}}

{{- define "singleflightd.accessConfigMap" -}}
{{- if .Values.access.existingConfigMap -}}
{{- .Values.access.existingConfigMap -}}
{{- else if .Values.access.inline -}}
{{- include "singleflightd.fullname" . }}-access
{{- end -}}
{{- end -}}

{{/* Whether nothing keeps a stranger out: "yes" or nothing. The daemon judges in the same way. */}}
{{- define "singleflightd.open" -}}
{{- $access := include "singleflightd.accessConfigMap" . -}}
{{- $byCertificate := and (include "singleflightd.clientCA" .) (or (eq .Values.tls.clientCA.auth "require") $access) -}}
{{- $known := or .Values.tokens.existingSecret $byCertificate -}}
{{- if not (and (include "singleflightd.tlsSecret" .) $known) -}}yes{{- end -}}
{{- end -}}

{{/* Whether anything of security is set: then an open daemon is an oversight. */}}
{{- define "singleflightd.anySecurity" -}}
{{- $tls := include "singleflightd.tlsSecret" . -}}
{{- $ca := include "singleflightd.clientCA" . -}}
{{- if or $tls $ca .Values.tokens.existingSecret (include "singleflightd.accessConfigMap" .) -}}yes{{- end -}}
{{- end -}}

{{/*
The files: a list of {name, folder, source}. With .check they are for the Job that looks at them first: what
is missing must not keep that from starting, it is what it has to tell.
*/}}
{{- define "singleflightd.files" -}}
{{- $values := .root.Values -}}
{{- $tls := include "singleflightd.tlsSecret" .root -}}
{{- $ca := include "singleflightd.clientCA" .root -}}
{{- $kind := splitList "/" $ca | first -}}
{{- $name := splitList "/" $ca | last -}}
{{- $access := include "singleflightd.accessConfigMap" .root -}}
{{- $files := list -}}
{{- if and $tls (not .withoutTLS) -}}
{{- $files = append $files (dict "name" "tls" "kind" "secret" "from" $tls) -}}
{{- end -}}
{{- if and $ca (not .withoutTLS) (not $values.tls.clientCA.fromTLSSecret) -}}
{{- $files = append $files (dict "name" "client-ca" "kind" $kind "from" $name) -}}
{{- end -}}
{{- with $values.tokens.existingSecret -}}
{{- $files = append $files (dict "name" "tokens" "kind" "secret" "from" .) -}}
{{- end -}}
{{- if $access -}}
{{- $copy := .accessName | default $access -}}
{{- $files = append $files (dict "name" "access" "kind" "configMap" "from" $copy "as" $access) -}}
{{- end -}}
{{- range $files }}
- name: {{ .name | quote }}
  folder: {{ include "singleflightd.folder" $.root }}/{{ .name }}/{{ .as | default .from }}
  source:
    {{ .kind }}:
      {{ eq .kind "secret" | ternary "secretName" "name" }}: {{ quote .from }}
      # For the daemon's group: podSecurityContext.fsGroup.
      defaultMode: 0440
{{- if $.check }}
      optional: true
{{- end }}
{{- end }}
{{- end -}}

{{/* Whether the pod of `helm test` has a way to be known: "yes" or nothing. */}}
{{- define "singleflightd.testable" -}}
{{- $test := .Values.test -}}
{{- $shows := or $test.clientSecret (not (include "singleflightd.clientCA" .)) (eq .Values.tls.clientCA.auth "optional") -}}
{{- $known := or $test.clientSecret $test.tokenSecret (not .Values.tokens.existingSecret) -}}
{{- if and $test.enabled $shows $known -}}yes{{- end -}}
{{- end -}}
