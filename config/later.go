package config

import "portscan_exporter/scan"

// refuseLater reports what the grammar has, and this version can't do yet. Take
// a line out here when its engine comes; nothing else knows of it.
func (l *loader) refuseLater(at moduleDraft) {
	if l.everything {
		return
	}
	if at.Protocol == scan.UDP {
		l.errorf(at.protocolAt, "protocol udp is not available in this version: write tcp")
	}
	if at.Protocol == scan.TCP && at.Method == scan.SYN {
		l.errorf(at.methodAt, "method syn is not available in this version: write connect")
	}
	if at.MaxAge > 0 {
		l.warnf(at.maxAgeAt, "max_age is not used by this version yet: every probe scans anew")
	}
}
