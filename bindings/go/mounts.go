// SPDX-License-Identifier: MIT

package lfi

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// A Mount is something that a program sees at a path: one of HostDir, FS and Data. Where mounts lie in one another, the
// one with the longest path counts.
//
// What FS and Data have is copied into a private temporary directory before the program starts, and removed when it has
// ended; if the process is killed meanwhile, the directory lfi-mount-… stays in os.TempDir. Programs cannot change it.
type Mount struct {
	// Path is where the program sees it: absolute, in the sandbox.
	Path string
	// HostDir is a directory of the host. What the program does there, it does to the host's files, unless ReadOnly; it
	// comes to nothing outside, through links neither.
	HostDir string
	// ReadOnly has the program see HostDir, but not change it.
	ReadOnly bool
	// FS is a tree of files and directories; links in it are followed, to files only.
	FS fs.FS
	// Data is one file, if it is not nil: Path is its name, and its directory a mount of its own.
	Data []byte
}

// mountPlan is what mounts come to: maps of liblfi, and the temporary directory that some of them are in.
type mountPlan struct {
	maps    []string
	scratch string
	copied  map[string]string // directories in the sandbox that are copies, and where those are
}

func (p *mountPlan) remove() {
	if p.scratch != "" {
		os.RemoveAll(p.scratch) // nobody is there to be told
	}
}

// planMounts checks mounts, and copies those that are not of the host. When it fails, nothing is left.
func planMounts(mounts []Mount) (*mountPlan, error) {
	p := &mountPlan{copied: map[string]string{}}
	for _, add := range []func(*Mount, string) error{p.addTree, p.addFile} {
		for i := range mounts {
			m := &mounts[i]
			at, err := m.check()
			if err == nil {
				err = add(m, at)
			}
			if err != nil {
				p.remove()
				return nil, err
			}
		}
	}
	for at, copied := range p.copied {
		p.maps = append(p.maps, at+"="+copied+":ro")
	}
	sort.Strings(p.maps) // equal mounts are to be equal options
	for i := 1; i < len(p.maps); i++ {
		at, _, _ := strings.Cut(p.maps[i], "=")
		if strings.HasPrefix(p.maps[i-1], at+"=") {
			p.remove()
			return nil, fail(ErrInvalid, "two mounts are at %q: give each a path of its own", at)
		}
	}
	return p, nil
}

// check gives the path without what is not needed in it.
func (m *Mount) check() (string, error) {
	if !strings.HasPrefix(m.Path, "/") || strings.ContainsAny(m.Path, "=\x00") {
		return "", fail(ErrInvalid, "a mount at %q: an absolute path without = and NUL is needed", m.Path)
	}
	given := 0
	for _, is := range []bool{m.HostDir != "", m.FS != nil, m.Data != nil} {
		if is {
			given++
		}
	}
	if given != 1 {
		return "", fail(ErrInvalid, "the mount at %q has %d of HostDir, FS and Data: one is needed", m.Path, given)
	}
	at := path.Clean(m.Path)
	if m.Data != nil && at == "/" {
		return "", fail(ErrInvalid, "a file cannot be at %q: its path needs a name", m.Path)
	}
	return at, nil
}

func (p *mountPlan) addTree(m *Mount, at string) error {
	switch {
	case m.HostDir != "":
		return p.addHost(m, at)
	case m.FS != nil:
		if p.copied[at] != "" {
			return fail(ErrInvalid, "two mounts are at %q: give each a path of its own", at)
		}
		folder, err := p.folder(at)
		if err != nil {
			return err
		}
		return copyFS(folder, m.FS)
	}
	return nil
}

func (p *mountPlan) addHost(m *Mount, at string) error {
	mark := ""
	if m.ReadOnly {
		mark = ":ro"
	}
	var c config
	if err := dir(at, m.HostDir, mark)(&c); err != nil {
		return err
	}
	p.maps = append(p.maps, c.dirs...)
	return nil
}

// addFile puts a file where the program looks for it: into the innermost copy that has its path, or into a new one.
func (p *mountPlan) addFile(m *Mount, at string) error {
	if m.Data == nil {
		return nil
	}
	best := ""
	for mounted := range p.copied {
		if strings.HasPrefix(at, strings.TrimSuffix(mounted, "/")+"/") && len(mounted) > len(best) {
			best = mounted
		}
	}
	if best == "" || p.hostBetween(best, at) {
		best = path.Dir(at)
		if _, err := p.folder(best); err != nil {
			return err
		}
	}
	to := filepath.Join(p.copied[best], filepath.FromSlash(strings.TrimPrefix(at, best)))
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return writeFile(to, bytes.NewReader(m.Data), at)
}

// hostBetween: a directory of the host covers the place of a file in a copy.
func (p *mountPlan) hostBetween(mounted, file string) bool {
	for _, one := range p.maps {
		at, _, _ := strings.Cut(one, "=")
		if len(at) > len(mounted) && strings.HasPrefix(file, at+"/") {
			return true
		}
	}
	return false
}

func (p *mountPlan) folder(at string) (string, error) {
	if p.scratch == "" {
		made, err := os.MkdirTemp("", "lfi-mount-")
		if err != nil {
			return "", err
		}
		p.scratch = made
	}
	folder, err := os.MkdirTemp(p.scratch, "")
	if err == nil {
		p.copied[at] = folder
	}
	return folder, err
}

func copyFS(to string, from fs.FS) error {
	return fs.WalkDir(from, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !fs.ValidPath(name) || strings.ContainsRune(name, 0) {
			return fail(ErrInvalid, "the file system has a file named %q", name)
		}
		if name == "." {
			return nil
		}
		target := filepath.Join(to, filepath.FromSlash(name))
		if entry.IsDir() {
			return os.Mkdir(target, 0o700)
		}
		return copyFile(target, from, name)
	})
}

func copyFile(to string, from fs.FS, name string) error {
	file, err := from.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fail(ErrInvalid, "%q in a file system is %v: only files and directories can be mounted", name, info.Mode())
	}
	return writeFile(to, file, name)
}

func writeFile(to string, from io.Reader, name string) error {
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o400)
	if errors.Is(err, fs.ErrExist) {
		return fail(ErrInvalid, "two mounts have a file %q", name)
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(file, from)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}
