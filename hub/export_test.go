package hub

// RingBytes is what all rings take.
func (h *Hub) RingBytes() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	total := 0
	for _, t := range h.topics {
		t.mu.RLock()
		total += t.ring.bytes
		t.mu.RUnlock()
	}
	return total
}
