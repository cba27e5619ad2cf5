module trackerpeer

go 1.24
