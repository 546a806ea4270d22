{{/*
The name of every object. 59 characters leave room for "-tls" in the 63 of a label.
*/}}
{{- define "nfs-guard.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains "nfs-guard" .Release.Name -}}
{{- .Release.Name | trunc 59 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-nfs-guard" (.Release.Name | trunc 49 | trimSuffix "-") -}}
{{- end -}}
{{- end }}

{{/*
What tells this release's pods from all others.
*/}}
{{- define "nfs-guard.selectorLabels" -}}
app.kubernetes.io/name: nfs-guard
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "nfs-guard.labels" -}}
{{ include "nfs-guard.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/*
What the validating webhook is asked about: every write of what runs pods, and of claims.
*/}}
{{- define "nfs-guard.validatingRules" -}}
- apiGroups: [apps]
  apiVersions: [v1]
  resources: [statefulsets, deployments, daemonsets, replicasets]
  operations: [CREATE, UPDATE]
  scope: Namespaced
- apiGroups: [batch]
  apiVersions: [v1]
  resources: [jobs, cronjobs]
  operations: [CREATE, UPDATE]
  scope: Namespaced
- apiGroups: [""]
  apiVersions: [v1]
  resources: [pods, replicationcontrollers, persistentvolumeclaims]
  operations: [CREATE, UPDATE]
  scope: Namespaced
{{- end }}

{{/*
What the mutating webhook is asked about: pod templates, and pods while they can still be changed.
*/}}
{{- define "nfs-guard.mutatingRules" -}}
- apiGroups: [apps]
  apiVersions: [v1]
  resources: [statefulsets, deployments, daemonsets, replicasets]
  operations: [CREATE, UPDATE]
  scope: Namespaced
- apiGroups: [batch]
  apiVersions: [v1]
  resources: [jobs, cronjobs]
  operations: [CREATE, UPDATE]
  scope: Namespaced
- apiGroups: [""]
  apiVersions: [v1]
  resources: [replicationcontrollers]
  operations: [CREATE, UPDATE]
  scope: Namespaced
- apiGroups: [""]
  apiVersions: [v1]
  resources: [pods]
  operations: [CREATE]
  scope: Namespaced
{{- end }}

{{/*
The part of a webhook entry that does not depend on what it is asked about, nor on its tier.

An error in a match condition makes the API server skip an entry that may be
ignored, and refuse the request for one that may not. So every field that may
be absent is asked for with has() before it is read.
*/}}
{{- define "nfs-guard.webhookEntry" -}}
admissionReviewVersions: [v1]
matchPolicy: Equivalent
matchConditions:
  # Kubelets report on what runs already.
  - name: not-a-node
    expression: >-
      !has(request.userInfo.groups) || !('system:nodes' in request.userInfo.groups)
  # What is on its way out must be free to go: its finalizers are removed by updates.
  - name: not-being-deleted
    expression: >-
      request.operation != 'UPDATE' ||
      !has(oldObject.metadata.deletionTimestamp)
  # Updates of finalizers and the like are none of the guard's business.
  - name: spec-labels-or-annotations-change
    expression: >-
      request.operation != 'UPDATE' ||
      has(object.spec) != has(oldObject.spec) ||
      (has(object.spec) && object.spec != oldObject.spec) ||
      has(object.metadata.labels) != has(oldObject.metadata.labels) ||
      (has(object.metadata.labels) && object.metadata.labels != oldObject.metadata.labels) ||
      has(object.metadata.annotations) != has(oldObject.metadata.annotations) ||
      (has(object.metadata.annotations) && object.metadata.annotations != oldObject.metadata.annotations)
sideEffects: NoneOnDryRun
timeoutSeconds: {{ .Values.webhook.timeoutSeconds }}
{{- end }}

{{/*
How the API server reaches the guard; the caller adds the path. No caBundle: the
guard writes its own, and an upgrade must not blank it.
*/}}
{{- define "nfs-guard.service" -}}
name: {{ include "nfs-guard.fullname" . }}
namespace: {{ .Release.Namespace }}
port: {{ .Values.service.port }}
{{- end }}

{{/*
Namespaces the guard never judges: those a cluster cannot start without, and its own.
*/}}
{{- define "nfs-guard.excludedNamespaces" -}}
key: kubernetes.io/metadata.name
operator: NotIn
values: [kube-system, kube-node-lease, {{ .Release.Namespace | quote }}]
{{- end }}
