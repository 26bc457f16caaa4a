package config
import ("testing";"time";"os";"path/filepath";"fmt")
func TestZZ(t *testing.T){
 for _,d:=range []string{"bad","warn"} {
 fs,_:=filepath.Glob("testdata/"+d+"/*.yml")
 for _,f:=range fs { _,w,err:=Load(f,time.Date(2026,1,15,12,0,0,0,time.UTC)); fmt.Fprintln(os.Stderr,"=====",f); if err!=nil {fmt.Fprintln(os.Stderr,err)} else {fmt.Fprintln(os.Stderr,"OK")}; for _,x:=range w {fmt.Fprintln(os.Stderr,"W",x)} }
 }
}
