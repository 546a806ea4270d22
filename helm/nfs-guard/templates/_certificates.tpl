{{/*
The Secret with the certificate.
*/}}
{{- define "nfs-guard.tlsSecret" -}}
{{- .Values.certificates.secretName | default (printf "%s-tls" (include "nfs-guard.fullname" .)) -}}
{{- end }}

{{/*
What `nfs-guard serve` is told about its certificate.
*/}}
{{- define "nfs-guard.certificateArguments" -}}
- --tls-secret={{ include "nfs-guard.tlsSecret" . }}
- --certificates={{ .Values.certificates.mode }}
- --certificate-settle={{ .Values.certificates.settleSeconds | int64 }}
{{- end }}

{{/*
The annotations of a webhook configuration: who writes the CA into its entries, if the guard
does not.
*/}}
{{- define "nfs-guard.webhookAnnotations" -}}
{{- if eq .Values.certificates.mode "cert-manager" -}}
annotations:
  cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/{{ include "nfs-guard.fullname" . }}
{{- end -}}
{{- end }}
