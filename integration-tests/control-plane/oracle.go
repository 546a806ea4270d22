// The oracle says what upstream's own functions make of a case, so that a test
// can hold the guard's against them.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
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

// question is one line of input: a cluster, and a claim nobody has bound yet.
type question struct {
	Claim   *v1.PersistentVolumeClaim `json:"claim"`
	Volumes []*v1.PersistentVolume    `json:"volumes"`
	Classes []*storage.StorageClass   `json:"classes"`
	// Nodes are the labels of each node a pod of the claim could run on.
	Nodes []labels.Set `json:"nodes"`
}

// answer is one line of output. Sets are sorted, and null when empty.
type answer struct {
	// DefaultClass is null in a cluster without one.
	DefaultClass *string `json:"defaultClass"`
	// ClassAsWritten is what the claim asks for before admission.
	ClassAsWritten string `json:"classAsWritten"`
	// Class is what it asks for once admission has filled in the default. All
	// that follows is about that claim.
	Class        string `json:"class"`
	DelayBinding bool   `json:"delayBinding"`
	// Controller is every volume the PV controller could bind to the claim,
	// depending on the order its caches happen to have.
	Controller []string `json:"controller"`
	// Scheduler is the same of the scheduler, over all nodes.
	Scheduler []string `json:"scheduler"`
	// Passes is whether some node leaves the scheduler without a volume.
	Passes bool `json:"passes"`
}

// consult answers every case of in, one line each.
func consult(in io.Reader, out io.Writer) error {
	reader, writer := json.NewDecoder(in), bufio.NewWriter(out)
	replies := json.NewEncoder(writer)
	for line := 1; ; line++ {
		var asked question
		if err := reader.Decode(&asked); errors.Is(err, io.EOF) {
			return writer.Flush()
		} else if err != nil {
			return fmt.Errorf("reading case %d: %w", line, err)
		}
		replied, err := asked.answer()
		if err != nil {
			return fmt.Errorf("answering case %d: %w", line, err)
		}
		if err := replies.Encode(replied); err != nil {
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
	replied := &answer{ClassAsWritten: volume.GetPersistentVolumeClaimClass(q.Claim)}
	if class != nil {
		replied.DefaultClass = &class.Name
		// As the admission plugin DefaultStorageClass does.
		if !volume.PersistentVolumeClaimHasClass(q.Claim) {
			q.Claim.Spec.StorageClassName = &class.Name
		}
	}
	replied.Class = volume.GetPersistentVolumeClaimClass(q.Claim)
	if replied.DelayBinding, err = volume.IsDelayBindingMode(q.Claim, classes); err != nil {
		return nil, err
	}
	if replied.Controller, err = q.controller(replied.DelayBinding); err != nil {
		return nil, err
	}
	if replied.Scheduler, replied.Passes, err = q.scheduler(replied.Class); err != nil {
		return nil, err
	}
	return replied, nil
}

// controller asks the PV controller once for each volume, with that volume
// first in its cache and its group of access modes first in the index. The
// controller only ever falls back on order between equals, so no other order
// has an answer of its own: every volume that can win does so when it is first.
func (q *question) controller(delayBinding bool) ([]string, error) {
	found := set{}
	for first := range q.Volumes {
		index := &persistentVolumeOrderedIndex{store: &volumeStore{volumes: startingAt(q.Volumes, first)}}
		best, err := findBestMatchForClaim(index, q.Claim, delayBinding)
		if err != nil {
			return nil, err
		}
		found.add(best)
	}
	return found.sorted(), nil
}

// scheduler asks what findMatchingVolumes of the scheduler's volume binder
// asks, for each node and each volume first.
func (q *question) scheduler(class string) (found []string, passes bool, err error) {
	var ofClass []*v1.PersistentVolume
	for _, candidate := range q.Volumes {
		// As the index of the scheduler's PVAssumeCache does.
		if volume.GetPersistentVolumeClass(candidate) == class {
			ofClass = append(ofClass, candidate)
		}
	}
	names := set{}
	for _, nodeLabels := range q.Nodes {
		node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Labels: nodeLabels}}
		if len(ofClass) == 0 {
			passes = true
		}
		for first := range ofClass {
			best, err := volume.FindMatchingVolume(q.Claim, startingAt(ofClass, first), node,
				map[string]*v1.PersistentVolume{}, true, attributesClassEnabled())
			if err != nil {
				return nil, false, err
			}
			names.add(best)
			passes = passes || best == nil
		}
	}
	return names.sorted(), passes, nil
}

func attributesClassEnabled() bool {
	return utilfeature.DefaultFeatureGate.Enabled(features.VolumeAttributesClass)
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

// startingAt rotates volumes so that the one at first comes first.
func startingAt(volumes []*v1.PersistentVolume, first int) []*v1.PersistentVolume {
	return append(append([]*v1.PersistentVolume{}, volumes[first:]...), volumes[:first]...)
}

type set map[string]bool

func (s set) add(volume *v1.PersistentVolume) {
	if volume != nil {
		s[volume.Name] = true
	}
}

func (s set) sorted() []string {
	names := []string{}
	for name := range s {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
