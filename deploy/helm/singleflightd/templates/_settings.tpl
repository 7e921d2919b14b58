{{/* files/settings.json: what the daemon knows, made from its --help by "./dev chart --update". */}}
{{- define "singleflightd.knownSettings" -}}
{{- .Files.Get "files/settings.json" -}}
{{- end -}}

{{/* "20s" -> 20000 */}}
{{- define "singleflightd.milliseconds" -}}
{{- $number := regexReplaceAll "^0+([0-9])" (regexFind "^[0-9]+" .) "${1}" | int64 -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- mul $number (get $units (regexFind "[a-z]+$" .) | default 1) -}}
{{- end -}}

{{/* "64MiB" -> 67108864; Kubernetes' "64Mi" as well */}}
{{- define "singleflightd.bytes" -}}
{{- $number := regexReplaceAll "^0+([0-9])" (regexFind "^[0-9]+" .) "${1}" | int64 -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $units = merge $units (dict "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000) -}}
{{- mul $number (get $units (regexFind "[A-Za-z]+$" . | trimSuffix "B") | default 1) -}}
{{- end -}}

{{/*
The value of a setting as the daemon reads it. YAML makes a number of 4, and false of a plain `off`;
Helm makes 1e+06 of a million.
*/}}
{{- define "singleflightd.settingText" -}}
{{- if kindIs "slice" . -}}
{{- join "," . -}}
{{- else if kindIs "bool" . -}}
{{- ternary "on" "off" . -}}
{{- else if kindIs "float64" . -}}
{{- if eq (floor .) . -}}{{- int64 . -}}{{- else -}}{{- . -}}{{- end -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* How long the pod may take to end: drain-time, and then some for the last answers. In seconds. */}}
{{- define "singleflightd.gracePeriod" -}}
{{- if not (kindIs "invalid" .Values.terminationGracePeriodSeconds) -}}
{{- .Values.terminationGracePeriodSeconds | int64 -}}
{{- else -}}
{{- add (include "singleflightd.drainSeconds" . | int64) 10 -}}
{{- end -}}
{{- end -}}

{{- define "singleflightd.drainSeconds" -}}
{{- $drain := get .Values.settings "drain-time" -}}
{{- $text := kindIs "invalid" $drain | ternary "20s" (include "singleflightd.settingText" $drain) -}}
{{- div (add (include "singleflightd.milliseconds" $text | int64) 999) 1000 -}}
{{- end -}}
