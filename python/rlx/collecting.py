class Episode: pass
def collect(): pass
def to_minari(): pass
