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
The files: a list of {name, folder, source}. With "check" they are for the Job that looks at them first:
what is missing must not keep that from starting, it is what it has to tell.
*/}}
{{- define "singleflightd.files" -}}
{{- $root := .root -}}
{{- $optional := .check | default false -}}
{{- $tls := include "singleflightd.tlsSecret" $root -}}
{{- if and $tls (not .withoutTLS) }}
- name: tls
  folder: {{ include "singleflightd.folder" $root }}/tls/{{ $tls }}
  source: {secret: {secretName: {{ $tls }}, defaultMode: 0440, optional: {{ $optional }}}}
{{- end }}
{{- $ca := include "singleflightd.clientCA" $root }}
{{- if and $ca (not .withoutTLS) (not $root.Values.tls.clientCA.fromTLSSecret) }}
{{- $kind := splitList "/" $ca | first }}
{{- $name := splitList "/" $ca | last }}
- name: client-ca
  folder: {{ include "singleflightd.folder" $root }}/client-ca/{{ $name }}
  source: {{ dict $kind (dict (ternary "secretName" "name" (eq $kind "secret")) $name "defaultMode" 0440 "optional" $optional) | toJson }}
{{- end }}
{{- with $root.Values.tokens.existingSecret }}
- name: tokens
  folder: {{ include "singleflightd.folder" $root }}/tokens/{{ . }}
  source: {secret: {secretName: {{ . }}, defaultMode: 0440, optional: {{ $optional }}}}
{{- end }}
{{- with include "singleflightd.accessConfigMap" $root }}
- name: access
  folder: {{ include "singleflightd.folder" $root }}/access/{{ . }}
  source: {configMap: {name: {{ $.accessName | default . }}, defaultMode: 0440, optional: {{ $optional }}}}
{{- end }}
{{- end -}}

{{/* Whether the pod of `helm test` has a way to be known: "yes" or nothing. */}}
{{- define "singleflightd.testable" -}}
{{- $test := .Values.test -}}
{{- $shows := or $test.clientSecret (not (include "singleflightd.clientCA" .)) (eq .Values.tls.clientCA.auth "optional") -}}
{{- $known := or $test.clientSecret $test.tokenSecret (not .Values.tokens.existingSecret) -}}
{{- if and $test.enabled $shows $known -}}yes{{- end -}}
{{- end -}}
