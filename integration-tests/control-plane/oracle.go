// The oracle says what upstream's own functions make of a case, so that a test
// can hold the guard's against them.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	_ "unsafe" // for go:linkname

	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-helpers/storage/volume"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core/v1/helper"
	_ "k8s.io/kubernetes/pkg/controller/volume/persistentvolume" // holds findBestMatchForClaim
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/pkg/volume/util"
)

// question is one line of input: a cluster, and claims nobody has bound yet.
type question struct {
	Claim *v1.PersistentVolumeClaim `json:"claim"`
	// Claims is how many claims like it there are, bound one after the other.
	Claims  int                     `json:"claims"`
	Volumes []*v1.PersistentVolume  `json:"volumes"`
	Classes []*storage.StorageClass `json:"classes"`
	// Nodes are the labels of each node a pod of the claims could run on.
	Nodes []labels.Set `json:"nodes"`
}

// answer is one line of output.
type answer struct {
	// DefaultClass is null in a cluster without one.
	DefaultClass *string `json:"defaultClass"`
	// ClassAsWritten is what the claim asks for before admission.
	ClassAsWritten string `json:"classAsWritten"`
	// Class is what it asks for once admission has filled in the default. All
	// that follows is about that claim.
	Class        string `json:"class"`
	DelayBinding bool   `json:"delayBinding"`
	// Controller is what the PV controller can bind.
	Controller *outcome `json:"controller"`
	// Scheduler is what the scheduler can, if it is asked at all.
	Scheduler *outcome `json:"scheduler"`
}

// consult answers every question of in, one line each and at once.
func consult(in io.Reader, out io.Writer) error {
	questions, answers := json.NewDecoder(in), json.NewEncoder(out)
	for line := 1; ; line++ {
		var asked question
		if err := questions.Decode(&asked); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("reading question %d: %w", line, err)
		}
		answered, err := asked.answer()
		if err != nil {
			return fmt.Errorf("answering question %d: %w", line, err)
		}
		if err := answers.Encode(answered); err != nil {
			return err
		}
	}
}

func (q *question) answer() (*answer, error) {
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for _, class := range q.Classes {
		legacyscheme.Scheme.Default(class)
		if err := indexer.Add(class); err != nil {
			return nil, err
		}
	}
	for _, volume := range q.Volumes {
		legacyscheme.Scheme.Default(volume)
	}
	legacyscheme.Scheme.Default(q.Claim)

	classes := storagelisters.NewStorageClassLister(indexer)
	class, err := util.GetDefaultClass(classes)
	if err != nil {
		return nil, err
	}
	answered := &answer{ClassAsWritten: volume.GetPersistentVolumeClaimClass(q.Claim)}
	if class != nil {
		answered.DefaultClass = &class.Name
		// As the admission plugin DefaultStorageClass does.
		if !volume.PersistentVolumeClaimHasClass(q.Claim) {
			q.Claim.Spec.StorageClassName = &class.Name
		}
	}
	answered.Class = volume.GetPersistentVolumeClaimClass(q.Claim)
	if answered.DelayBinding, err = volume.IsDelayBindingMode(q.Claim, classes); err != nil {
		return nil, err
	}
	if answered.Controller, err = q.controller(answered.DelayBinding); err != nil {
		return nil, err
	}
	if answered.DelayBinding {
		answered.Scheduler, err = q.scheduler(answered.Class)
	}
	return answered, err
}

func (q *question) controller(delayBinding bool) (*outcome, error) {
	choose := func(volumes []*v1.PersistentVolume) (*v1.PersistentVolume, error) {
		index := &persistentVolumeOrderedIndex{store: &volumeStore{volumes: volumes}}
		return findBestMatchForClaim(index, q.Claim, delayBinding)
	}
	return outcomeOf(q.Volumes, q.Claims, choose)
}

// scheduler asks what the scheduler's volumeBinder asks in findMatchingVolumes,
// which nothing exported leads to.
func (q *question) scheduler(class string) (*outcome, error) {
	if volume.IsDelayBindingProvisioning(q.Claim) {
		return &outcome{Volumes: []string{}}, nil // FindPodVolumes leaves it to a provisioner
	}
	var ofClass []*v1.PersistentVolume // as ListPVs of its PVAssumeCache
	for _, candidate := range q.Volumes {
		if volume.GetPersistentVolumeClass(candidate) == class {
			ofClass = append(ofClass, candidate)
		}
	}
	attributesClass := utilfeature.DefaultFeatureGate.Enabled(features.VolumeAttributesClass)
	var onNodes []choice
	for _, nodeLabels := range q.Nodes {
		node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Labels: nodeLabels}}
		onNodes = append(onNodes, func(volumes []*v1.PersistentVolume) (*v1.PersistentVolume, error) {
			return volume.FindMatchingVolume(q.Claim, volumes, node, nil, true, attributesClass)
		})
	}
	return outcomeOf(ofClass, q.Claims, onNodes...)
}

// choice is upstream's choice among volumes in the order its caches have them.
type choice func(volumes []*v1.PersistentVolume) (*v1.PersistentVolume, error)

// outcome is all that can come of binding the claims.
type outcome struct {
	// Volumes is every volume that can be bound, sorted.
	Volumes []string `json:"volumes"`
	// Certain is whether no claim ever goes without.
	Certain bool `json:"certain"`
}

// outcomeOf follows every course the binding can take: each claim by any of
// the choices, each with any volume first in the cache, and so its group of
// access modes first in the index. The order of a cache decides between equals
// only, so every volume that can be chosen is chosen when it comes first.
func outcomeOf(volumes []*v1.PersistentVolume, claims int, choices ...choice) (*outcome, error) {
	bound, certain := map[string]bool{}, true
	courses := map[string][]*v1.PersistentVolume{"": volumes}
	for range claims {
		next := map[string][]*v1.PersistentVolume{}
		for _, left := range courses {
			for first := range max(1, len(left)) {
				ordered := slices.Concat(left[first:], left[:first])
				for _, choose := range choices {
					chosen, err := choose(ordered)
					if err != nil {
						return nil, err
					}
					if chosen == nil {
						certain = false
					} else {
						bound[chosen.Name] = true
					}
					addCourse(next, left, chosen)
				}
			}
		}
		courses = next
	}
	names := slices.Sorted(maps.Keys(bound))
	return &outcome{Volumes: append([]string{}, names...), Certain: certain}, nil
}

// addCourse adds what is left of volumes without the chosen one, once.
func addCourse(courses map[string][]*v1.PersistentVolume, volumes []*v1.PersistentVolume, chosen *v1.PersistentVolume) {
	var left []*v1.PersistentVolume
	var names []string
	for _, volume := range volumes {
		if volume != chosen {
			left = append(left, volume)
			names = append(names, volume.Name)
		}
	}
	courses[strings.Join(names, "/")] = left
}

// persistentVolumeOrderedIndex has the layout of upstream's type of that name.
type persistentVolumeOrderedIndex struct {
	store cache.Indexer
}

// findBestMatchForClaim is the PV controller's own method; nothing exported
// leads to it. oracle.s lets it be declared without a body.
//
//go:linkname findBestMatchForClaim k8s.io/kubernetes/pkg/controller/volume/persistentvolume.(*persistentVolumeOrderedIndex).findBestMatchForClaim
func findBestMatchForClaim(index *persistentVolumeOrderedIndex, claim *v1.PersistentVolumeClaim, delayBinding bool) (*v1.PersistentVolume, error)

// volumeStore is the controller's index by access modes, in the order of its
// volumes instead of a Go map's. It has the two methods the controller calls;
// any other would be a nil dereference.
type volumeStore struct {
	cache.Indexer
	volumes []*v1.PersistentVolume
}

// ListIndexFuncValues lists each set of access modes once.
func (s *volumeStore) ListIndexFuncValues(string) []string {
	var values []string
	seen := map[string]bool{}
	for _, volume := range s.volumes {
		if modes := helper.GetAccessModesAsString(volume.Spec.AccessModes); !seen[modes] {
			seen[modes] = true
			values = append(values, modes)
		}
	}
	return values
}

// Index lists the volumes that have the access modes of like.
func (s *volumeStore) Index(_ string, like any) ([]any, error) {
	modes := helper.GetAccessModesAsString(like.(*v1.PersistentVolume).Spec.AccessModes)
	var group []any
	for _, volume := range s.volumes {
		if helper.GetAccessModesAsString(volume.Spec.AccessModes) == modes {
			group = append(group, volume)
		}
	}
	return group, nil
}
