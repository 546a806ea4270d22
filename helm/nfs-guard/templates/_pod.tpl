{{/*
What every pod of the release has: one that serves, and the one that tests it.
*/}}
{{- define "nfs-guard.podSpec" -}}
serviceAccountName: {{ include "nfs-guard.fullname" . }}
automountServiceAccountToken: true
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumes:
  - name: config
    configMap:
      name: {{ include "nfs-guard.fullname" . }}
{{- end }}

{{/*
What every container of the release has.
*/}}
{{- define "nfs-guard.container" -}}
image: {{ include "nfs-guard.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
  - name: POD_NAMESPACE
    valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
  - name: POD_NAME
    valueFrom: {fieldRef: {fieldPath: metadata.name}}
  # glibc keeps memory apart for up to eight times as many threads as there are cores, and
  # each part keeps what it once took for a list. Two are as many as were measured.
  - name: MALLOC_ARENA_MAX
    value: "2"
  - name: RUST_LOG
    value: {{ .Values.logLevel | quote }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
  readOnlyRootFilesystem: true
volumeMounts:
  # The whole folder: a file that is mounted alone never changes.
  - name: config
    mountPath: /etc/nfs-guard
    readOnly: true
{{- end }}

{{/*
Another zone, if there is one to be had.
*/}}
{{- define "nfs-guard.apartInZones" -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: topology.kubernetes.io/zone
        labelSelector:
          matchLabels:
            {{- include "nfs-guard.webhookLabels" . | nindent 12 }}
        matchLabelKeys: [pod-template-hash]
{{- end }}

{{- define "nfs-guard.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}
