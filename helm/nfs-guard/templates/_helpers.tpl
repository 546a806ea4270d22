{{/*
The name of every object. 58 characters leave room for "-test" in the 63 of a label.
*/}}
{{- define "nfs-guard.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains "nfs-guard" .Release.Name -}}
{{- .Release.Name | trunc 58 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-nfs-guard" (.Release.Name | trunc 48 | trimSuffix "-") -}}
{{- end -}}
{{- end }}

{{/*
What tells this release's pods from all others.
*/}}
{{- define "nfs-guard.selectorLabels" -}}
app.kubernetes.io/name: nfs-guard
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/*
What tells the pods that serve from the pod that tests them.
*/}}
{{- define "nfs-guard.webhookLabels" -}}
{{ include "nfs-guard.selectorLabels" . }}
app.kubernetes.io/component: webhook
{{- end }}

{{- define "nfs-guard.labels" -}}
{{ include "nfs-guard.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/*
The writes in namespaces that the guard judges. A test holds this list and the next two to
what its rules read.
*/}}
{{- define "nfs-guard.validatingRules" -}}
- apiGroups: [apps]
  apiVersions: [v1]
  resources: [statefulsets, deployments, daemonsets, replicasets]
  operations: [CREATE, UPDATE]
  scope: Namespaced
- apiGroups: [""]
  apiVersions: [v1]
  resources: [replicationcontrollers, pods, persistentvolumeclaims]
  operations: [CREATE, UPDATE]
  scope: Namespaced
- apiGroups: [batch]
  apiVersions: [v1]
  resources: [jobs, cronjobs]
  operations: [CREATE, UPDATE]
  scope: Namespaced
- apiGroups: [apps]
  apiVersions: [v1]
  resources: [statefulsets/scale, deployments/scale, replicasets/scale]
  operations: [UPDATE]
  scope: Namespaced
- apiGroups: [""]
  apiVersions: [v1]
  resources: [replicationcontrollers/scale]
  operations: [UPDATE]
  scope: Namespaced
{{- end }}

{{/*
The writes beside all namespaces that the guard judges.
*/}}
{{- define "nfs-guard.clusterRules" -}}
- apiGroups: [""]
  apiVersions: [v1]
  resources: [persistentvolumes, namespaces]
  operations: [CREATE, UPDATE]
  scope: Cluster
- apiGroups: [storage.k8s.io]
  apiVersions: [v1]
  resources: [storageclasses]
  operations: [CREATE, UPDATE, DELETE]
  scope: Cluster
{{- end }}

{{/*
The writes the guard may add to.
*/}}
{{- define "nfs-guard.mutatingRules" -}}
# The security context of a pod that exists cannot be changed any more.
- apiGroups: [""]
  apiVersions: [v1]
  resources: [pods]
  operations: [CREATE]
  scope: Namespaced
- apiGroups: [apps]
  apiVersions: [v1]
  resources: [statefulsets, deployments, daemonsets, replicasets]
  operations: [CREATE, UPDATE]
  scope: Namespaced
- apiGroups: [""]
  apiVersions: [v1]
  resources: [replicationcontrollers]
  operations: [CREATE, UPDATE]
  scope: Namespaced
- apiGroups: [batch]
  apiVersions: [v1]
  resources: [jobs, cronjobs]
  operations: [CREATE, UPDATE]
  scope: Namespaced
{{- end }}

{{/*
What every webhook entry has, whatever its tier. Called with the root as `root`, the
path on the guard as `path`, its rules as `rules`, match conditions of its own as
`matchConditions`, and how long the API server waits as `timeoutSeconds`.

An error in a match condition makes the API server skip an entry that may be
ignored, and refuse the request for one that may not. So every field that may
be absent is asked for with has(), or read by `.?`.
*/}}
{{- define "nfs-guard.webhookEntry" -}}
admissionReviewVersions: [v1]
# No caBundle: the guard writes its own, and an upgrade must not blank it.
clientConfig:
  service:
    name: {{ include "nfs-guard.fullname" .root }}
    namespace: {{ .root.Release.Namespace }}
    path: {{ .path }}
    port: {{ .root.Values.service.port }}
rules:
  {{- .rules | nindent 2 }}
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
  {{- .matchConditions | nindent 2 }}
sideEffects: NoneOnDryRun
timeoutSeconds: {{ .timeoutSeconds }}
{{- end }}

{{/*
An entry that judges.
*/}}
{{- define "nfs-guard.validatingEntry" -}}
{{- $rules := include "nfs-guard.validatingRules" . -}}
{{- $conditions := include "nfs-guard.validatingConditions" . -}}
{{- include "nfs-guard.webhookEntry" (dict "root" . "path" "/validate" "rules" $rules "matchConditions" $conditions "timeoutSeconds" .Values.webhook.timeoutSeconds) -}}
{{- end }}

{{- define "nfs-guard.validatingConditions" -}}
{{ include "nfs-guard.changeCondition" . }}
# With fewer replicas nothing comes to lie anywhere. Not even a guard that is away keeps
# somebody from scaling down.
- name: not-scaled-down
  expression: >-
    request.?subResource.orValue('') != 'scale' ||
    object.?spec.?replicas.orValue(0) > oldObject.?spec.?replicas.orValue(0)
{{- end }}

{{/*
An entry that judges what lies beside all namespaces. One second is what a volume is kept
from its claim at the most: a single worker binds them, one after another.
*/}}
{{- define "nfs-guard.clusterEntry" -}}
{{- $rules := include "nfs-guard.clusterRules" . -}}
{{- $conditions := include "nfs-guard.changeCondition" . -}}
{{- include "nfs-guard.webhookEntry" (dict "root" . "path" "/validate" "rules" $rules "matchConditions" $conditions "timeoutSeconds" 1) -}}
{{- end }}

{{/*
Updates of finalizers, of a status and the like are none of the guard's business. A
StorageClass has no spec; these are the fields of it that can be changed.
*/}}
{{- define "nfs-guard.changeCondition" -}}
- name: spec-labels-or-annotations-change
  expression: >-
    request.operation != 'UPDATE' ||
    (request.resource.resource == 'storageclasses' && (
    object.?mountOptions != oldObject.?mountOptions ||
    object.?allowedTopologies != oldObject.?allowedTopologies)) ||
    has(object.spec) != has(oldObject.spec) ||
    (has(object.spec) && object.spec != oldObject.spec) ||
    has(object.metadata.labels) != has(oldObject.metadata.labels) ||
    (has(object.metadata.labels) && object.metadata.labels != oldObject.metadata.labels) ||
    has(object.metadata.annotations) != has(oldObject.metadata.annotations) ||
    (has(object.metadata.annotations) && object.metadata.annotations != oldObject.metadata.annotations)
{{- end }}

{{/*
An entry that adds to what is written.
*/}}
{{- define "nfs-guard.mutatingEntry" -}}
{{- $rules := include "nfs-guard.mutatingRules" . -}}
{{- $conditions := include "nfs-guard.mutatingConditions" . -}}
{{- include "nfs-guard.webhookEntry" (dict "root" . "path" "/mutate" "rules" $rules "matchConditions" $conditions "timeoutSeconds" .Values.webhook.timeoutSeconds) -}}
{{- end }}

{{/*
Whether fsGroup is set is not asked here: a webhook that is called later may set it,
and only what was called before is called again after that.
*/}}
{{- define "nfs-guard.mutatingConditions" -}}
# Nothing is added to a template that stays as it is: its pods would be replaced for it.
- name: pod-template-changes
  expression: >-
    request.operation != 'UPDATE' ||
    object.?spec.?template != oldObject.?spec.?template ||
    object.?spec.?jobTemplate != oldObject.?spec.?jobTemplate
# A controller compares what it made with its own template, and makes another if they
# differ, without end. Pods are not compared.
- name: a-pod-or-not-controlled
  expression: >-
    request.resource.resource == 'pods' ||
    !object.metadata.?ownerReferences.orValue([]).exists(owner, owner.?controller.orValue(false))
{{- end }}

{{/*
What becomes of writes to critical namespaces while the guard is away. Where no rule may
deny, none of them is refused: `mode` of those that can is asked.
*/}}
{{- define "nfs-guard.criticalFailurePolicy" -}}
{{- $denies := false -}}
{{- range $rule := list "critical-on-nfs" -}}
{{- if eq "enforce" (dig "rules" $rule "mode" "enforce" $.Values.config | toString) -}}
{{- $denies = true -}}
{{- end -}}
{{- end -}}
{{- $denies | ternary .Values.webhook.critical.failurePolicy "Ignore" -}}
{{- end }}

{{/*
Namespaces the guard never judges: those a cluster cannot start without, and its own.
*/}}
{{- define "nfs-guard.excludedNamespaces" -}}
key: kubernetes.io/metadata.name
operator: NotIn
values: [kube-system, kube-node-lease, {{ .Release.Namespace | quote }}]
{{- end }}
