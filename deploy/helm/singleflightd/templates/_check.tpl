{{/*
What the schema cannot say, or not in words that help. Every problem goes into .problems (a dict with a
list), so that all of them are told at once.
*/}}
{{- define "singleflightd.problem" -}}
{{- $_ := set .to "list" (append .to.list .text) -}}
{{- end -}}

{{/* .name, .text (as the daemon would read it), .known (its entry in files/settings.json), .to */}}
{{- define "singleflightd.checkSetting" -}}
{{- $problem := "" -}}
{{- $shown := printf "settings.%s: %s" .name (quote .text) -}}
{{- $kind := .known.kind -}}
{{- $units := dict "time" "ms|s|m|h|d" "size" "B|KiB|MiB|GiB|TiB" "number" "" -}}
{{- if has $kind (list "time" "size" "number") -}}
{{- $whole := regexMatch (printf "^[0-9]+(%s)?$" (get $units $kind)) .text -}}
{{- $bare := regexMatch "^[0-9]+$" .text -}}
{{- if and $whole (not (regexMatch "^0*[0-9]{1,15}([A-Za-z]|$)" .text)) -}}
{{- $problem = printf "is too large; it takes %s" .known.takes -}}
{{- else if and (eq $kind "time") $bare (not (regexMatch "^0+$" .text)) -}}
{{- $problem = "needs a unit: ms, s, m, h or d, such as 20s" -}}
{{- else if $whole -}}
{{- $amount := include (eq $kind "time" | ternary "singleflightd.milliseconds" "singleflightd.bytes") .text | int64 -}}
{{- $zero := and .known.zero (eq $amount (int64 0)) -}}
{{- if not (or $zero (and (ge $amount (int64 .known.min)) (le $amount (int64 .known.max)))) -}}
{{- $problem = printf "is out of bounds; it takes %s" .known.takes -}}
{{- end -}}
{{- else if eq $kind "time" -}}
{{- $problem = "is no time: a whole number and ms, s, m, h or d, such as 20s" -}}
{{- else if eq $kind "size" -}}
{{- $problem = "is no size: a whole number and B, KiB, MiB, GiB or TiB, such as 64MiB" -}}
{{- else -}}
{{- $problem = "is no whole number" -}}
{{- end -}}
{{- else if and (eq $kind "choice") (not (has .text .known.choices)) -}}
{{- $problem = printf "is not %s" .known.takes -}}
{{- end -}}
{{- if $problem -}}
{{- include "singleflightd.problem" (dict "to" .to "text" (printf "%s %s" $shown $problem)) -}}
{{- end -}}
{{- end -}}

{{- define "singleflightd.checkSettings" -}}
{{- $to := .to -}}
{{- $all := include "singleflightd.knownSettings" .root | fromJson -}}
{{- range $name, $value := .root.Values.settings -}}
{{- $known := get $all $name -}}
{{- if not $known -}}
{{- $text := printf "settings.%s is no setting of singleflightd %s" $name $.root.Chart.AppVersion -}}
{{- include "singleflightd.problem" (dict "to" $to "text" $text) -}}
{{- else if kindIs "invalid" $value -}}
{{- else if $known.derived -}}
{{- $text := printf "settings.%s is not for you to set: %s" $name $known.derived -}}
{{- include "singleflightd.problem" (dict "to" $to "text" $text) -}}
{{- else -}}
{{- $text := include "singleflightd.settingText" $value -}}
{{- include "singleflightd.checkSetting" (dict "to" $to "name" $name "known" $known "text" $text) -}}
{{- end -}}
{{- end -}}
{{- range $index, $variable := .root.Values.extraEnv -}}
{{- if hasPrefix "SINGLEFLIGHTD_" $variable.name -}}
{{- $name := trimPrefix "SINGLEFLIGHTD_" $variable.name | lower | replace "_" "-" -}}
{{- $where := printf "extraEnv[%d]: %s" $index $variable.name -}}
{{- include "singleflightd.checkElsewhere" (dict "to" $to "all" $all "name" $name "where" $where) -}}
{{- end -}}
{{- end -}}
{{- range $index, $argument := .root.Values.extraArgs -}}
{{- $name := regexFind "^--[a-z-]+" $argument | trimPrefix "--" -}}
{{- $where := printf "extraArgs[%d]: --%s" $index $name -}}
{{- include "singleflightd.checkElsewhere" (dict "to" $to "all" $all "name" $name "where" $where) -}}
{{- end -}}
{{- end -}}

{{/* A setting that is given by a variable or a flag: the chart would not see it. */}}
{{- define "singleflightd.checkElsewhere" -}}
{{- with get .all .name -}}
{{- $instead := .derived | default (printf "give it as settings.%s" $.name) -}}
{{- $text := printf "%s is a setting of the daemon: %s" $.where $instead -}}
{{- include "singleflightd.problem" (dict "to" $.to "text" $text) -}}
{{- end -}}
{{- end -}}

{{- define "singleflightd.checkSecurity" -}}
{{- $to := .to -}}
{{- $values := .root.Values -}}
{{- $tls := include "singleflightd.tlsSecret" .root -}}
{{- $ca := include "singleflightd.clientCA" .root -}}
{{- $cm := $values.tls.certManager -}}
{{- $sources := list -}}
{{- range list "existingSecret" "existingConfigMap" "fromTLSSecret" -}}
{{- if get $values.tls.clientCA . -}}{{- $sources = append $sources . -}}{{- end -}}
{{- end -}}
{{- $found := list -}}
{{- if and $values.tls.existingSecret $cm.enabled -}}
{{- $found = append $found "tls: existingSecret and certManager.enabled are both set; take one" -}}
{{- end -}}
{{- if and $cm.enabled (not $cm.issuerRef.name) -}}
{{- $found = append $found "tls.certManager.issuerRef.name: who should sign the certificate?" -}}
{{- end -}}
{{- if gt (len $sources) 1 -}}
{{- $found = append $found (printf "tls.clientCA: %s are set; take one" (join " and " $sources)) -}}
{{- end -}}
{{- if and $ca (not $tls) -}}
{{- $found = append $found "tls.clientCA: clients show certificates over TLS alone; set tls.existingSecret or tls.certManager" -}}
{{- end -}}
{{- if and (eq $values.tls.clientCA.auth "optional") (not $ca) -}}
{{- $found = append $found "tls.clientCA.auth: \"optional\" says nothing without a CA; set tls.clientCA.existingSecret" -}}
{{- end -}}
{{- if and $values.access.inline $values.access.existingConfigMap -}}
{{- $found = append $found "access: inline and existingConfigMap are both set; take one" -}}
{{- end -}}
{{- if include "singleflightd.open" .root -}}
{{- $lacks := "nothing says who may call: set tls.clientCA or tokens.existingSecret" -}}
{{- if and $ca $tls -}}
{{- $lacks = "with tls.clientCA.auth \"optional\" nothing says who may call: set tokens.existingSecret or access, or require certificates" -}}
{{- else if not $tls -}}
{{- $lacks = "there is no TLS: set tls.existingSecret or tls.certManager, and tls.clientCA or tokens.existingSecret" -}}
{{- end -}}
{{- if eq $values.insecure "refuse" -}}
{{- $found = append $found (printf "insecure: \"refuse\", and %s" $lacks) -}}
{{- else if and (eq $values.insecure "trial") (include "singleflightd.anySecurity" .root) -}}
{{- $found = append $found (printf "half of what makes it secure is set, and whoever reaches the port could still do everything: %s; or set insecure: allow" $lacks) -}}
{{- end -}}
{{- if and (ne $values.service.type "ClusterIP") (ne $values.insecure "allow") -}}
{{- $found = append $found (printf "service.type: %s shows an open daemon to others than this cluster: %s; or set insecure: allow" $values.service.type $lacks) -}}
{{- end -}}
{{- end -}}
{{- range $found -}}
{{- include "singleflightd.problem" (dict "to" $to "text" .) -}}
{{- end -}}
{{- end -}}

{{- define "singleflightd.checkRunning" -}}
{{- $to := .to -}}
{{- $values := .root.Values -}}
{{- $found := list -}}
{{- if ne (int64 $values.replicaCount) (int64 1) -}}
{{- $found = append $found (printf "replicaCount: %d must be 1: flights live in one process, and with several behind one Service a key would have several leaders; for more daemons install the chart several times and give callers all the addresses" (int64 $values.replicaCount)) -}}
{{- end -}}
{{- $drain := include "singleflightd.drainSeconds" .root | int64 -}}
{{- $grace := include "singleflightd.gracePeriod" .root | int64 -}}
{{- if lt $grace (add $drain 2) -}}
{{- $found = append $found (printf "terminationGracePeriodSeconds: %d ends the daemon before it has drained: drain-time is %ds, and the last answers take 2s; give it %d, or leave it out" $grace $drain (add $drain 10)) -}}
{{- end -}}
{{- $limit := get (default dict $values.resources.limits) "memory" -}}
{{- $held := get $values.settings "held-limit" -}}
{{- $heldText := kindIs "invalid" $held | ternary "1GiB" (include "singleflightd.settingText" $held) -}}
{{- if $limit -}}
{{- $limitText := include "singleflightd.settingText" $limit -}}
{{- $isQuantity := regexMatch "^[0-9]{1,15}(Ki|Mi|Gi|Ti|k|M|G|T)?$" $limitText -}}
{{- $isSize := regexMatch "^[0-9]{1,15}(B|KiB|MiB|GiB|TiB)?$" $heldText -}}
{{- if and $isQuantity $isSize (gt (mul 13 (include "singleflightd.bytes" $heldText | int64)) (mul 10 (include "singleflightd.bytes" $limitText | int64))) -}}
{{- $found = append $found (printf "settings.held-limit: %q takes 1.3 times as much, and callers take some (docs/sizing.md): with resources.limits.memory %q the pod would be killed; raise that or lower this" $heldText $limitText) -}}
{{- end -}}
{{- end -}}
{{- if and $values.service.nodePort (eq $values.service.type "ClusterIP") -}}
{{- $found = append $found (printf "service.nodePort: %d is for service.type NodePort or LoadBalancer" (int64 $values.service.nodePort)) -}}
{{- end -}}
{{- if and $values.persistence.existingClaim (not $values.persistence.enabled) -}}
{{- $found = append $found (printf "persistence.existingClaim: %q is not used; set persistence.enabled" $values.persistence.existingClaim) -}}
{{- end -}}
{{- if and $values.serviceMonitor.enabled $values.podMonitor.enabled -}}
{{- $found = append $found "serviceMonitor and podMonitor: both would count everything twice; take one" -}}
{{- end -}}
{{- $alerts := list -}}
{{- range (index (.root.Files.Get "files/alerts.yaml" | fromYaml).groups 0).rules -}}{{- $alerts = append $alerts .alert -}}{{- end -}}
{{- range $name, $change := $values.prometheusRule.alerts -}}
{{- if not (has $name $alerts) -}}
{{- $found = append $found (printf "prometheusRule.alerts.%s: there is no such alert; there are %s" $name (join ", " $alerts)) -}}
{{- end -}}
{{- end -}}
{{- range $found -}}
{{- include "singleflightd.problem" (dict "to" $to "text" .) -}}
{{- end -}}
{{- end -}}
