{{- /* The namespace of the operator. */ -}}
{{- define "r2r.namespace" -}}
{{- .Values.namespace.name | default .Release.Namespace -}}
{{- end -}}

{{- /* The reference of an image: what images.<name> says, else registry and tag. */ -}}
{{- define "r2r.image" -}}
{{- $images := .root.Values.images -}}
{{- $tag := $images.tag | default .root.Chart.AppVersion -}}
{{- get $images .name | default (printf "%s/%s:%s" $images.registry .name $tag) -}}
{{- end -}}
